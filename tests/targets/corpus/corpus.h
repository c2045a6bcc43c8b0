/* What the programs of the corpus share: a clock that ticks 100 times a second, a meter, and ordinary
 * noise.
 *
 * A program defines `start`, which is called once before it says "ready", and `tick`, which is called
 * with the number of the tick, from 0. It ends with its stdin. The first lines of each say what its
 * call stacks are to be called, and how it is built and run:
 *
 *     leak: FUNCTION        a leak, and named before every other one
 *     growing: FUNCTION     something that grows for ever, and named before every other one
 *     keeps: FUNCTION       what its blocks do is no leak
 *     lost: FUNCTION        besides being a leak, nothing refers to its blocks
 *     rate: NUMBER          it allocates so often a second that few such programs can run at once
 *     window: SECONDS       less than this does not show what it does
 *     allocator: NAME       jemalloc, tcmalloc or mimalloc is linked to it; musl compiles it
 *     module: KIND          what `#ifdef MODULE` encloses is a library, NAME.so: `linked`, or `loaded`
 *                           by the program itself, and stripped
 *     process: child        the process to trace is not the one that is started, but its first child
 *
 * A program may define before it includes this
 *
 *     THREADS    so many threads with a clock of their own, which call `thread_tick`
 *     CHILDREN   so many processes that do the work, forked after `start`
 *     QUEUE      how many blocks a queue takes
 *     QUIET      no noise
 *
 * On stdin an empty line says that the window has begun. On `m` the meter is read: a line on stdout
 * says what was done since it was last read: `meter OPERATIONS MICROSECONDS P99 WORST CPU`, the
 * latter three in microseconds: how late ticks were done, and how long the processors worked.
 */
#ifndef CORPUS_H
#define CORPUS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HZ 100
#define TICK_NS (1000000000L / HZ)
/* The tick at which what is to happen in the window begins: a second after an empty line. */
#define SOON corpus_soon
/* A function with a frame of its own, even if another one does the same. */
#define NOINLINE __attribute__((noinline, no_icf))
#ifndef QUEUE
#define QUEUE (1 << 16)
#endif

static void start(void);
static void tick(long number);

static long corpus_soon = LONG_MAX / 2;
static __thread unsigned long corpus_seed = 88172645463325252UL;

/* A number below a bound: in each thread always the same ones. */
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

/* Steps in 1,024 microseconds. */
static long corpus_pace;

static NOINLINE void corpus_spin(long steps)
{
    for (volatile long left = steps; left > 0; left--)
        ;
}

/* Compute for so many microseconds, as this processor does when it has nothing else to do. */
static inline void work(long microseconds)
{
    corpus_spin(microseconds * corpus_pace >> 10);
}

/* Blocks in the order in which they are freed. */
struct queue {
    void *blocks[QUEUE];
    unsigned long first, next;
};

static inline void queue_put(struct queue *queue, void *block)
{
    queue->blocks[queue->next++ % QUEUE] = block;
}

static inline void *queue_take(struct queue *queue)
{
    void **place = &queue->blocks[queue->first++ % QUEUE], *block = *place;
    *place = NULL; /* what was taken is not referred to from here */
    return block;
}

static inline void queue_free(struct queue *queue)
{
    free(queue_take(queue));
}

static inline unsigned long queue_length(const struct queue *queue)
{
    return queue->next - queue->first;
}

#include "meter.h"

#ifndef QUIET
static struct queue corpus_requests;

NOINLINE static void noise_message(void)
{
    free(use(malloc(40 + corpus_random(200)), 40));
}

NOINLINE static void noise_request(void)
{
    queue_put(&corpus_requests, use(malloc(500 + corpus_random(300)), 500));
}
#endif

/* 20 messages a second, and 10 requests that take 700 ms each. */
static void make_noise(long number)
{
    (void)number;
#ifndef QUIET
    if (number % 5 == 0)
        noise_message();
    if (number % 10 == 0) {
        noise_request();
        if (queue_length(&corpus_requests) > 7)
            queue_free(&corpus_requests);
    }
#endif
}

#ifdef THREADS
static void thread_tick(int which, long number);

static void *corpus_thread(void *which)
{
    struct timespec due;
    long wait, began = corpus_now() + (long)which * (TICK_NS / THREADS);
    corpus_seed += (unsigned long)which * 7919;
    for (long number = 0;; number++) {
        while ((wait = corpus_wait(&began, number)) > 0) {
            due.tv_sec = 0;
            due.tv_nsec = wait;
            nanosleep(&due, NULL);
        }
        thread_tick((int)(long)which, number);
        corpus_ticked(began, number);
    }
    return NULL;
}
#endif

/* Read stdin: 0 at its end. */
static int corpus_listen(long number)
{
    char read_ones[64];
    long count = read(0, read_ones, sizeof read_ones);
    for (long i = 0; i < count; i++) {
        if (read_ones[i] == 'm')
            corpus_tell();
        else if (i == 0 || read_ones[i - 1] == '\n')
            corpus_soon = number + HZ;
    }
    return count > 0;
}

/* What a process does that works: as long as there is a stdin, if it listens. */
static void corpus_run(int listens)
{
    struct pollfd input = {listens ? 0 : -1, POLLIN, 0};
    long began = corpus_now(), number = 0;

#ifdef THREADS
    pthread_t thread;
    for (long which = 0; which < THREADS; which++)
        pthread_create(&thread, NULL, corpus_thread, (void *)which);
#endif
    if (listens) {
        puts("ready");
        fflush(stdout);
    }
    while (1) {
        long wait = corpus_wait(&began, number);
        if (wait == 0) {
            tick(number);
            make_noise(number);
            corpus_ticked(began, number++);
        }
        struct timespec until = {0, wait};
        if (ppoll(&input, 1, &until, NULL) > 0 && !corpus_listen(number))
            return;
    }
}

/* Find out how fast this processor is, from the fastest of many short attempts. */
static void corpus_calibrate(void)
{
    long shortest = LONG_MAX;
    for (int attempt = 0; attempt < 50; attempt++) {
        long began = corpus_now();
        corpus_spin(20000);
        long took = corpus_now() - began;
        shortest = took < shortest ? took : shortest;
    }
    corpus_pace = 20000L * 1000 * 1024 / shortest;
}

int main(void)
{
    corpus_calibrate();
    start();
    for (long before = -80; before < 0; before++)
        make_noise(before);
#ifdef CHILDREN
    for (int child = 0; child < CHILDREN; child++)
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            corpus_run(child == 0);
            _exit(EXIT_SUCCESS);
        }
    wait(NULL); /* the others end with this process */
#else
    corpus_run(1);
#endif
    _exit(EXIT_SUCCESS); /* threads may still use what would be taken down */
}

#endif
