/* Four threads answer requests of thirty allocations each. What leaks is the last of them, at the very
 * end of a request; then the thread is idle until its next one.
 * rate: 3000
 * leak: log_request
 * lost: log_request
 * keeps: make_part */
#define THREADS 4
#include "corpus.h"

static void *volatile last;

NOINLINE static void *make_part(int i)
{
    return use(malloc(48 + 16 * i), 48);
}

NOINLINE static void *log_request(void)
{
    return use(malloc(96), 96);
}

static void start(void) {}

static void tick(long number)
{
    (void)number;
}

static void thread_tick(int which, long number)
{
    void *parts[29];
    (void)which;
    if (number % 4)
        return;
    for (int i = 0; i < 29; i++) {
        parts[i] = make_part(i);
        work(20);
    }
    for (int i = 0; i < 29; i++)
        free(parts[i]);
    last = log_request();
    done(1);
}
