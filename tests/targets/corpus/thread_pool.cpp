/* Jobs are made by one thread and freed by whichever of sixteen others takes them.
 * rate: 20000
 * keeps: make_job
 * keeps: solve */
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "corpus.h"

struct job {
    std::vector<int> numbers;
};

static std::mutex lock;
static std::condition_variable come;
static std::deque<std::unique_ptr<job>> jobs;

NOINLINE static std::unique_ptr<job> make_job()
{
    std::unique_ptr<job> made(new job);
    made->numbers.assign(40, 7);
    return made;
}

NOINLINE static std::vector<int> solve(const job &given)
{
    std::vector<int> solution(given.numbers);
    work(20);
    return solution;
}

static void take_jobs()
{
    while (true) {
        std::unique_lock<std::mutex> held(lock);
        come.wait(held, [] { return !jobs.empty(); });
        std::unique_ptr<job> taken = std::move(jobs.front());
        jobs.pop_front();
        held.unlock();
        std::vector<int> solution = solve(*taken);
        done(solution[0] ? 1 : 0);
    }
}

static void start()
{
    for (int i = 0; i < 16; i++)
        std::thread(take_jobs).detach();
}

static void tick(long)
{
    for (int i = 0; i < 60; i++) {
        std::unique_ptr<job> made = make_job();
        std::lock_guard<std::mutex> held(lock);
        jobs.push_back(std::move(made));
        come.notify_one();
    }
}
