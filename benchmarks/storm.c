/* A program that allocates at a given rate, from 64 places, and watches the clock for gaps.
 *     storm PAIRS_A_SECOND [KEEPS]
 * Blocks of 16 to 272 bytes are freed eight later; every KEEPS-th (100,000) is kept for ever. Prints
 * a line every tenth of a second: the clock, pairs done, seconds, and the longest gap in
 * milliseconds. What it does not get done in time is left out. Ends on SIGTERM. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { STEP_NS = 1000 * 1000, LINE_NS = 100 * 1000 * 1000, BEHIND_NS = 20 * STEP_NS, ALIVE = 8 };

static long now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

#define ONE(n) \
    __attribute__((noinline)) static void *place_##n(size_t size) \
    { \
        char *volatile block = malloc(size); \
        block[0] = (char)size; \
        return block; \
    }
#define EIGHT(n) ONE(n##0) ONE(n##1) ONE(n##2) ONE(n##3) ONE(n##4) ONE(n##5) ONE(n##6) ONE(n##7)
EIGHT(0) EIGHT(1) EIGHT(2) EIGHT(3) EIGHT(4) EIGHT(5) EIGHT(6) EIGHT(7)
#define OF(n) place_##n##0, place_##n##1, place_##n##2, place_##n##3, place_##n##4, place_##n##5, \
    place_##n##6, place_##n##7
static void *(*const places[])(size_t) = {OF(0), OF(1), OF(2), OF(3), OF(4), OF(5), OF(6), OF(7)};

static void *alive[ALIVE];
static long done;

static void do_pairs(long count, long keeps)
{
    for (long i = 0; i < count; i++) {
        free(alive[done % ALIVE]);
        alive[done % ALIVE] = places[done % 64](16 + (size_t)(done % 257));
        if (++done % keeps == 0)
            alive[(done - 1) % ALIVE] = NULL;
    }
}

int main(int count, char **arguments)
{
    long rate = count > 1 ? atol(arguments[1]) : 0;
    long keeps = count > 2 ? atol(arguments[2]) : 100000;
    long due = now_ns(), began = due, longest = 0, before = 0;

    if (rate <= 0 || keeps <= 0)
        return 2;
    for (;; due += STEP_NS) {
        struct timespec until = {due / 1000000000L, due % 1000000000L};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        do_pairs(rate / (1000000000L / STEP_NS), keeps);
        long time = now_ns();
        longest = time - due > longest ? time - due : longest;
        if (time - due > BEHIND_NS)
            due = time;
        if (time - began >= LINE_NS) {
            printf("%.6f %ld %.6f %.3f\n", (double)time / 1e9, done - before,
                   (double)(time - began) / 1e9, (double)longest / 1e6);
            fflush(stdout);
            began = time, longest = 0, before = done;
        }
    }
}
