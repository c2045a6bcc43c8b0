/* Threads that allocate, and leave what they are in by unusual ways.
 *
 *     leaving KIND...    a thread of each kind:
 *         busy           allocates
 *         throw          leaves functions by exceptions, which free on their way
 *         cancel         starts threads and cancels them: they free on their way out
 *         jump           leaves signal handlers by siglongjmp, wherever they come between two calls
 *         coroutine      goes back and forth between stacks that are blocks of the heap
 *         fork, vfork, spawn      starts children, which allocate and exit with 7
 *
 * "wake" ends the threads, and is answered with a line for each, "KIND RESULT", in their order: how
 * much it has done, or "wrong" if anything was not as it should be: a block that has changed, an
 * exception or a child that came to another end. Exits with 0 if all of it was right.
 */
#include "blocks.h"
#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <spawn.h>
#include <stdexcept>
#include <string>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

enum { STACK_BYTES = 1 << 16, CHILDS_STEPS = 200, RIGHT = 7, DEPTH = 12 };
static const long TICK_NS = 500000;
static const long WRONG = -1;
static std::atomic<bool> is_over;
static char program[4096];

static long be_busy()
{
    Blocks blocks(1);
    long rounds = 0;

    for (; !is_over; rounds++)
        if (!blocks.step())
            return WRONG;
    return rounds;
}

/* Exceptions. */
static void dive(int depth)
{
    std::string text(static_cast<std::size_t>(depth) * 20 + 30, 'x');
    std::vector<std::string> held(3, text);

    if (depth == 0)
        throw std::runtime_error(text);
    dive(depth - 1);
    std::abort();
}

static long leave_by_exceptions()
{
    volatile std::size_t most = SIZE_MAX >> 2;
    long caught = 0, failed = 0, rounds = 0;
    Blocks blocks(2);

    for (; !is_over; rounds++) {
        try {
            dive(static_cast<int>(rounds % DEPTH));
        } catch (const std::runtime_error &error) {
            caught += std::strlen(error.what()) == 30;
        }
        try {
            delete[] new char[most];
        } catch (const std::bad_alloc &) {
            failed++;
        }
        if (!work(blocks, 5))
            return WRONG;
    }
    return caught == rounds && failed == rounds ? rounds : WRONG;
}

/* Cancellation, which unwinds the stack too. */
static thread_local long *balance;
struct Held {
    std::string text = std::string(100, 'e');
    Held() { (*balance)++; }
    ~Held() { (*balance)--; }
};

static void *wait_for_cancellation(void *held)
{
    balance = static_cast<long *>(held);
    Held one;
    Blocks blocks(3);

    for (;;) {
        Held other;
        timespec moment = {0, 20000};
        work(blocks, 50);
        nanosleep(&moment, nullptr);
    }
}

static long cancel_threads()
{
    long rounds = 0;
    unsigned seed = 1;

    for (; !is_over; rounds++) {
        long held = 0;
        pthread_t thread;
        void *result = nullptr;
        timespec moment = {0, (seed = seed * 1103515245 + 12345) >> 16 & 0xffff};
        if (pthread_create(&thread, nullptr, wait_for_cancellation, &held) != 0)
            return WRONG;
        nanosleep(&moment, nullptr);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        if (result != PTHREAD_CANCELED || held != 0) {
            std::fprintf(stderr, "a cancelled thread has kept %ld\n", held);
            return WRONG;
        }
    }
    return rounds;
}

/* Signals whose handlers have a stack of their own, and do not return. */
static thread_local volatile sig_atomic_t is_inside, can_jump;
static thread_local sigjmp_buf back;
static thread_local long jumps;

static void jump_back(int)
{
    if (!can_jump || is_inside)
        return;
    std::free(std::malloc(300));
    jumps++;
    siglongjmp(back, 1);
}

static timer_t start_ticking()
{
    stack_t stack = {};
    sigevent event = {};
    itimerspec interval = {{0, TICK_NS}, {0, TICK_NS}};
    timer_t timer;

    stack.ss_sp = std::malloc(stack.ss_size = STACK_BYTES);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
    if (sigaltstack(&stack, nullptr) != 0 || timer_create(CLOCK_MONOTONIC, &event, &timer) != 0
        || timer_settime(timer, 0, &interval, nullptr) != 0)
        std::abort();
    return timer;
}

static long leave_handlers()
{
    Blocks *const blocks = new Blocks(4);
    timer_t timer = start_ticking();
    static thread_local long rounds, wrong;

    while (!is_over || jumps == 0) {
        if (sigsetjmp(back, 1) == 0)
            can_jump = 1;
        while (!is_over || jumps == 0) {
            is_inside = 1;
            std::atomic_signal_fence(std::memory_order_seq_cst);
            wrong += !blocks->step();
            rounds++;
            std::atomic_signal_fence(std::memory_order_seq_cst);
            is_inside = 0;
            for (volatile int moment = 0; moment < 100; moment++)
                ;
        }
    }
    can_jump = 0;
    timer_delete(timer);
    delete blocks;
    return wrong == 0 ? rounds : WRONG;
}

/* Coroutines: two at a time, on stacks that come and go. */
static thread_local ucontext_t home, one, other;
static thread_local bool is_right;

static void run_coroutine(int number)
{
    Blocks blocks(static_cast<unsigned>(number));
    ucontext_t *self = number == 1 ? &one : &other, *next = number == 1 ? &other : &one;

    for (int i = 0; i < 50; i++) {
        is_right = work(blocks, 10) && is_right;
        swapcontext(self, next);
    }
}

static void make(ucontext_t *context, void *stack, int number)
{
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = STACK_BYTES;
    context->uc_link = &home;
    makecontext(context, reinterpret_cast<void (*)()>(run_coroutine), 1, number);
}

static long change_stacks()
{
    long rounds = 0;
    timer_t timer = start_ticking(); /* its handler returns here */

    for (is_right = true; !is_over && is_right; rounds++) {
        void *stacks[] = {std::malloc(STACK_BYTES), std::malloc(STACK_BYTES)};
        make(&one, stacks[0], 1);
        make(&other, stacks[1], 2);
        swapcontext(&home, &one);
        std::free(stacks[0]);
        std::free(stacks[1]);
    }
    timer_delete(timer);
    return is_right ? rounds : WRONG;
}

/* Children. */
static bool is_as_expected(pid_t child)
{
    int status = -1;

    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status)
           && WEXITSTATUS(status) == RIGHT;
}

static int be_child()
{
    Blocks blocks(5);

    return work(blocks, CHILDS_STEPS) ? RIGHT : EXIT_FAILURE;
}

static pid_t start_child(char kind)
{
    char *arguments[] = {program, const_cast<char *>("child"), nullptr};
    pid_t child = -1;

    if (kind == 'f') {
        child = fork();
        if (child == 0)
            _exit(be_child());
    } else if (kind == 'v') {
        child = vfork();
        if (child == 0) {
            std::free(std::malloc(100));
            execv(program, arguments);
            _exit(EXIT_FAILURE);
        }
    } else {
        posix_spawn(&child, program, nullptr, nullptr, arguments, environ);
    }
    return child;
}

static long start_children(char kind)
{
    Blocks blocks(6);
    long rounds = 0;

    for (; !is_over; rounds++)
        if (!work(blocks, 50) || !is_as_expected(start_child(kind)))
            return WRONG;
    return rounds;
}

static long live(const std::string &kind)
{
    if (kind == "busy")
        return be_busy();
    if (kind == "throw")
        return leave_by_exceptions();
    if (kind == "cancel")
        return cancel_threads();
    if (kind == "jump")
        return leave_handlers();
    if (kind == "coroutine")
        return change_stacks();
    return start_children(kind[0]);
}

int main(int count, char **kinds)
{
    static char input[256];
    struct sigaction action = {};
    std::vector<long> results(static_cast<std::size_t>(count));
    std::vector<std::thread> threads;
    bool all_right = true;

    if (count == 2 && std::strcmp(kinds[1], "child") == 0)
        return be_child();
    if (realpath("/proc/self/exe", program) == nullptr)
        return EXIT_FAILURE;
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
    action.sa_handler = jump_back;
    action.sa_flags = SA_ONSTACK | SA_RESTART;
    sigaction(SIGUSR1, &action, nullptr);
    for (int i = 1; i < count; i++)
        threads.emplace_back([&results, kinds, i] { results[i] = live(kinds[i]); });
    std::puts("ready");
    while (std::fgets(input, sizeof input, stdin) != nullptr) {
        is_over = true;
        for (std::thread &thread : threads)
            thread.join();
        for (int i = 1; i < count; i++) {
            all_right = all_right && results[i] != WRONG;
            if (results[i] == WRONG)
                std::printf("%s wrong\n", kinds[i]);
            else
                std::printf("%s %ld\n", kinds[i], results[i]);
        }
        threads.clear();
    }
    return all_right ? EXIT_SUCCESS : EXIT_FAILURE;
}
