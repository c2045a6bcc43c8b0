/* What the programs of the corpus share: a clock that ticks 100 times a second, and ordinary noise.
 *
 * A program defines `start`, which is called once before it says "ready", and `tick`, which is called
 * with the number of the tick, from 0. It ends with its stdin. The first lines of each say what its call stacks are to be called:
 *
 *     leak: FUNCTION      a leak, and named before every other one
 *     growing: FUNCTION   something that grows for ever, and named before every other one
 *     keeps: FUNCTION     what its blocks do is no leak
 */
#ifndef CORPUS_H
#define CORPUS_H

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HZ 100
/* The tick at which what is to happen in the window begins: a second after a line on stdin. */
#define SOON corpus_soon
#define NOINLINE __attribute__((noinline))

static void start(void);
static void tick(long number);

static long corpus_soon = LONG_MAX / 2;
static unsigned long corpus_seed = 88172645463325252UL;

/* A number below a bound: always the same ones. */
static inline unsigned long corpus_random(unsigned long bound)
{
    corpus_seed ^= corpus_seed << 13;
    corpus_seed ^= corpus_seed >> 7;
    corpus_seed ^= corpus_seed << 17;
    return corpus_seed % bound;
}

/* A block that is written to, as everybody does. */
static inline void *use(void *block, size_t size)
{
    memset(block, 'x', size);
    return block;
}

/* Blocks in the order in which they are freed. */
struct queue {
    void *blocks[1 << 16];
    unsigned long first, next;
};

static inline void queue_put(struct queue *queue, void *block)
{
    queue->blocks[queue->next++ % (1 << 16)] = block;
}

static inline void queue_free(struct queue *queue)
{
    free(queue->blocks[queue->first++ % (1 << 16)]);
}

static inline unsigned long queue_length(const struct queue *queue)
{
    return queue->next - queue->first;
}

static struct queue corpus_requests;

NOINLINE static void noise_message(void)
{
    free(use(malloc(40 + corpus_random(200)), 40));
}

NOINLINE static void noise_request(void)
{
    queue_put(&corpus_requests, use(malloc(500 + corpus_random(300)), 500));
}

/* 20 messages a second, and 10 requests that take 700 ms each. */
static void make_noise(long number)
{
    if (number % 5 == 0)
        noise_message();
    if (number % 10 == 0) {
        noise_request();
        if (queue_length(&corpus_requests) > 7)
            queue_free(&corpus_requests);
    }
}

int main(void)
{
    struct timespec began, now;
    struct pollfd input = {0, POLLIN, 0};
    long number = 0;

    start();
    for (long before = -80; before < 0; before++)
        make_noise(before);
    puts("ready");
    fflush(stdout);
    clock_gettime(CLOCK_MONOTONIC, &began);
    while (1) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        long due = (now.tv_sec - began.tv_sec) * HZ + (now.tv_nsec - began.tv_nsec) / (1000000000 / HZ);
        for (; number <= due; number++) {
            tick(number);
            make_noise(number);
        }
        if (poll(&input, 1, 1000 / HZ) > 0) {
            if (getchar() == EOF)
                return EXIT_SUCCESS;
            corpus_soon = number + HZ;
        }
    }
}

#endif
