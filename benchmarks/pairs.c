/* One thread that allocates and frees without pause, and watches the clock for gaps.
 * Prints a line a second: pairs done, seconds, longest gap in milliseconds. Ends on SIGTERM. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile sig_atomic_t running = 1;

static void stop(int number)
{
    (void)number;
    running = 0;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(void)
{
    double began = now(), last = began, longest = 0;
    long pairs = 0;

    signal(SIGTERM, stop);
    while (running) {
        void *volatile block = malloc(100);
        free(block);
        pairs++;
        double time = now();
        if (time - last > longest)
            longest = time - last;
        last = time;
        if (time - began >= 1) {
            printf("%ld %.6f %.3f\n", pairs, time - began, longest * 1e3);
            fflush(stdout);
            began = time, longest = 0, pairs = 0;
        }
    }
    return 0;
}
