/* The same, from when it was started.
 * growing: enqueue */
#include "corpus.h"

static struct queue jobs;

NOINLINE static void *enqueue(void)
{
    return use(malloc(80), 80);
}

static void start(void) {}

static void tick(long number)
{
    if (number % 2 == 0)
        queue_put(&jobs, enqueue());
    if (number % 3 == 0 && number)
        queue_free(&jobs);
}
