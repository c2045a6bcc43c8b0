/* Threads that watch the clock. Arguments: how many threads, and how often a second to allocate.
 * The main thread, and every 16th beside it, sleep for a tenth of a millisecond at a time; the others
 * for ten. Each line on stdin is answered with the longest time in milliseconds from one look at the
 * clock to the next since the line before. Ends with stdin.
 */
#define _GNU_SOURCE /* ppoll */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const struct timespec OFTEN = {0, 100000}, SELDOM = {0, 10000000};
static atomic_long longest;

static long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void look(long *last)
{
    long time = now(), gap = time - *last, known = longest;

    *last = time;
    while (gap > known && !atomic_compare_exchange_weak(&longest, &known, gap))
        ;
}

static void *watch(void *unused)
{
    for (long last = now();; look(&last))
        nanosleep(&OFTEN, NULL);
    return unused;
}

static void *sleep_on(void *unused)
{
    for (;;)
        nanosleep(&SELDOM, NULL);
    return unused;
}

int main(int argc, char **argv)
{
    int threads = atoi(argv[argc - 2]);
    long period = atoi(argv[argc - 1]) ? 1000000000L / atoi(argv[argc - 1]) : 0;
    struct pollfd input = {0, POLLIN, 0};
    pthread_attr_t small;
    char line[64];

    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 1 << 16);
    for (int i = 1; i < threads; i++) {
        pthread_t thread;
        pthread_create(&thread, &small, i % 16 ? sleep_on : watch, NULL);
    }
    /* Nothing but what is asked for may allocate. */
    setvbuf(stdout, NULL, _IONBF, 0);
    puts("ready");
    for (long last = now(), due = last;; look(&last)) {
        if (ppoll(&input, 1, &OFTEN, NULL) == 1) {
            if (read(0, line, sizeof line) <= 0)
                return 0;
            look(&last);
            printf("%.3f\n", (double)atomic_exchange(&longest, 0) / 1e6);
            last = now();
        }
        if (period && last >= due) {
            void *volatile block = malloc(100);
            free(block);
            due += period;
        }
    }
}
