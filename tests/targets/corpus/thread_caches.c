/* Each of sixteen threads keeps up to 200 free buffers for itself, and frees what is above.
 * rate: 3000
 * keeps: make_buffer
 * keeps: make_header */
#define THREADS 16
#define QUEUE 1024
#include "corpus.h"

static __thread struct queue idle, busy;

NOINLINE static void *make_buffer(void)
{
    return use(malloc(1500), 1500);
}

NOINLINE static void *make_header(void)
{
    return use(malloc(64), 64);
}

static void start(void) {}

static void tick(long number)
{
    (void)number;
}

static void thread_tick(int which, long number)
{
    void *header = make_header();
    (void)which;
    /* As many are busy as the load asks for, which goes up and down. */
    unsigned long load = (number / 150 % 2 ? number % 150 : 150 - number % 150) * 2;
    while (queue_length(&busy) < load)
        queue_put(&busy, queue_length(&idle) ? queue_take(&idle) : make_buffer());
    while (queue_length(&busy) > load)
        queue_put(&idle, queue_take(&busy));
    while (queue_length(&idle) > 200)
        queue_free(&idle);
    work(20);
    free(header);
    done(1);
}
