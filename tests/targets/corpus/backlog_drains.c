/* Two seconds of work come at once, ten times as fast as it is done.
 * keeps: enqueue */
#include "corpus.h"

static struct queue jobs;

NOINLINE static void *enqueue(void)
{
    return use(malloc(80), 80);
}

static void start(void) {}

static void tick(long number)
{
    if (number >= SOON && number < SOON + 2 * HZ)
        queue_put(&jobs, enqueue());
    if (number % 6 == 0 && queue_length(&jobs))
        queue_free(&jobs);
}
