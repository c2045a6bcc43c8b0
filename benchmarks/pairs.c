/* Threads that allocate and free without pause, and watch the clock for gaps.
 *
 *     pairs THREADS
 *
 * Prints a line a second: pairs done by all of them, seconds, longest gap in milliseconds. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MOST 64

static struct {
    _Alignas(128) atomic_long pairs;
    _Atomic double longest;
} seen[MOST];

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *allocate(void *argument)
{
    long number = (long)argument;
    double last = now();

    for (;;) {
        void *volatile block = malloc(100);
        free(block);
        atomic_fetch_add_explicit(&seen[number].pairs, 1, memory_order_relaxed);
        double time = now();
        if (time - last > seen[number].longest)
            seen[number].longest = time - last;
        last = time;
    }
    return NULL;
}

int main(int count, char **arguments)
{
    static char buffer[BUFSIZ];
    long threads = count == 2 ? atol(arguments[1]) : 0;
    double began = now();

    if (threads < 1 || threads > MOST)
        return 2;
    setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
    for (long number = 0; number < threads; number++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, allocate, (void *)number))
            return 1;
    }
    for (;;) {
        struct timespec second = {1, 0};
        double longest = 0, time;
        long pairs = 0;

        nanosleep(&second, NULL);
        for (long number = 0; number < threads; number++) {
            double gap = atomic_exchange(&seen[number].longest, 0);
            pairs += atomic_exchange(&seen[number].pairs, 0);
            if (gap > longest)
                longest = gap;
        }
        time = now();
        printf("%ld %.6f %.3f\n", pairs, time - began, longest * 1e3);
        began = time;
    }
}
