/* Threads that allocate and free all the time, and know how often they have.
 *
 *     busy THREADS RATE SPIN    RATE pairs a second in each thread, or without pause if that is 0;
 *                               SPIN rounds of a loop after each
 *
 * A line on stdin is answered with the number of pairs so far, and the time in nanoseconds.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static atomic_long pairs;
static long rate, spin;

static void *work(void *unused)
{
    struct timespec next;

    clock_gettime(CLOCK_MONOTONIC, &next);
    for (;;) {
        long batch = 16;

        if (rate) {                     /* a wake-up for each, but at most a thousand a second */
            batch = rate < 1000 ? 1 : rate / 1000;
            next.tv_nsec += 1000000000 / (rate / batch);
            next.tv_sec += next.tv_nsec / 1000000000;
            next.tv_nsec %= 1000000000;
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        }
        for (long i = 0; i < batch; i++) {
            void *volatile block = malloc(100);

            free(block);
            for (volatile long round = 0; round < spin; round++)
                continue;
        }
        pairs += batch;
    }
    return unused;
}

int main(int count, char **arguments)
{
    char line[64];

    if (count != 4)
        return EXIT_FAILURE;
    rate = atol(arguments[2]);
    spin = atol(arguments[3]);
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    for (int left = atoi(arguments[1]); left > 0; left--) {
        pthread_attr_t small;
        pthread_t thread;

        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 1 << 16);
        if (pthread_create(&thread, &small, work, NULL) != 0)
            return EXIT_FAILURE;
    }
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        printf("%ld %lld\n", (long)pairs, now.tv_sec * 1000000000LL + now.tv_nsec);
    }
    return EXIT_SUCCESS;
}
