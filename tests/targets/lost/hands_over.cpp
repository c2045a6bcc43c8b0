// Threads hand objects over to each other, and others put strings of the same content into a map and
// take them out again. Nothing is ever lost. "ready" when they begin.
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unistd.h>

struct Job {
    virtual ~Job() = default;
    char data[900] = {};
    std::unique_ptr<std::string> text = std::make_unique<std::string>(200, 'j');
};

static std::mutex locks[2], lock;
static std::deque<std::unique_ptr<Job>> queues[2];
static std::map<unsigned, std::unique_ptr<std::string>> kept;

static void hand_over(int from)
{
    for (;;) {
        std::unique_ptr<Job> job;
        {
            std::lock_guard<std::mutex> guard(locks[from]);
            if (!queues[from].empty()) {
                job = std::move(queues[from].front());
                queues[from].pop_front();
            }
        }
        if (job) {
            job->data[0]++;
            std::lock_guard<std::mutex> guard(locks[!from]);
            queues[!from].push_back(std::move(job));
        }
        usleep(50);
    }
}

static void exchange(unsigned number)
{
    for (;;) {
        number = number * 1103515245 + 12345;
        unsigned key = number / 256 % 5000;
        {
            std::lock_guard<std::mutex> guard(lock);
            if (!kept.erase(key))
                kept[key] = std::make_unique<std::string>(300, 'c');
        }
        if (key % 64 == 0)
            usleep(100);
    }
}

int main()
{
    for (int i = 0; i < 50; i++)
        queues[0].push_back(std::make_unique<Job>());
    std::thread(hand_over, 0).detach();
    std::thread(hand_over, 1).detach();
    std::thread(exchange, 1).detach();
    std::thread(exchange, 2).detach();
    puts("ready");
    fflush(stdout);
    pause();
}
