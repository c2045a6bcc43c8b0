// Keeps what it is given in a map of 30,000 and more, and two more each hundredth of a second.
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <thread>

struct Job {
    char data[100];
};

static std::map<std::string, std::shared_ptr<Job>> jobs;

__attribute__((noinline)) static void submit(int number)
{
    jobs["a job with a long name: " + std::to_string(number * 7919L % 1000003)] =
        std::make_shared<Job>();
}

int main()
{
    int number = 0;
    while (number < 30000)
        submit(number++);
    std::puts("ready");
    std::fflush(stdout);
    while (true) {
        submit(number++);
        submit(number++);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}
