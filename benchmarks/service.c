/* A service: requests come at a given rate, and each allocates and frees 20 blocks.
 *
 *     service RATE
 *
 * Prints a line a second: requests done, seconds, and in milliseconds the median, the 99th percentile
 * and the longest of the times from when each was due until it was done. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BLOCKS 20
#define MOST 100000

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void serve(void)
{
    void *blocks[BLOCKS];

    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(32 + 16 * (size_t)i);
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
}

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

int main(int count, char **arguments)
{
    static double times[MOST];
    static char buffer[BUFSIZ];
    double rate = count == 2 ? atof(arguments[1]) : 0, began = now(), due = began;
    int done = 0;

    if (rate < 1 || rate > MOST)
        return 2;
    setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
    for (;;) {
        double time = now();
        if (time < due) {
            struct timespec rest = {0, (long)((due - time) * 1e9)};
            nanosleep(&rest, NULL);
        }
        serve();
        time = now();
        if (done < MOST)
            times[done++] = time - due;
        due += 1 / rate;
        /* What cannot be served within a second is given up, as clients do. */
        if (time - due > 1)
            due = time;
        if (time - began >= 1) {
            qsort(times, (size_t)done, sizeof *times, compare);
            printf("%d %.6f %.3f %.3f %.3f\n", done, time - began, times[done / 2] * 1e3,
                   times[done * 99 / 100] * 1e3, times[done - 1] * 1e3);
            began = now();
            done = 0;
        }
    }
}
