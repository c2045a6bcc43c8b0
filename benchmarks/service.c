/* A service: 2,000 requests a second arrive on a fixed schedule, each makes 20 allocations and
 * frees them at its end. One that has waited for over 100 ms is refused, as a bounded queue does.
 * Prints a line every quarter of a second: the clock, pairs done, seconds, longest gap in
 * milliseconds, and median and 99th percentile of the latency in microseconds, from the moment
 * a request was due. Ends on SIGTERM. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PERIOD_NS = 500 * 1000, REFUSED_NS = 100 * 1000 * 1000, LINE_NS = 250 * 1000 * 1000 };
enum { BLOCKS = 20, MOST = 4096 };

static long last_ns, longest_ns;
static long latencies[MOST];

static long now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

static long tick(void)
{
    long time = now_ns();
    if (time - last_ns > longest_ns)
        longest_ns = time - last_ns;
    return last_ns = time;
}

static void sleep_until(long due)
{
    struct timespec time = {due / 1000000000L, due % 1000000000L};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL))
        ;
    last_ns = due; /* sleeping is no gap, waking late is one */
}

static void serve(void)
{
    void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        size_t size = 16 + 48 * (size_t)i;
        blocks[i] = malloc(size);
        memset(blocks[i], i, size);
        tick();
    }
    for (int i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
        tick();
    }
}

static int ascending(const void *left, const void *right)
{
    long a = *(const long *)left, b = *(const long *)right;
    return (a > b) - (a < b);
}

int main(void)
{
    long due = now_ns(), began = due;
    int served = 0;

    last_ns = due;
    for (;; due += PERIOD_NS) {
        if (tick() < due) {
            sleep_until(due);
            tick();
        }
        if (last_ns - due > REFUSED_NS)
            continue;
        serve();
        if (served < MOST)
            latencies[served++] = last_ns - due;
        if (last_ns - began >= LINE_NS) {
            qsort(latencies, (size_t)served, sizeof latencies[0], ascending);
            printf("%.6f %d %.6f %.3f %.1f %.1f\n", (double)last_ns / 1e9, served * BLOCKS,
                   (double)(last_ns - began) / 1e9, (double)longest_ns / 1e6,
                   (double)latencies[served / 2] / 1e3,
                   (double)latencies[served * 99 / 100] / 1e3);
            fflush(stdout);
            began = last_ns, longest_ns = 0, served = 0;
        }
    }
}
