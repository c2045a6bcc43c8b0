/* Work comes half again as fast as it is done, since long ago.
 * growing: enqueue */
#include "corpus.h"

static struct queue jobs;

NOINLINE static void *enqueue(void)
{
    return use(malloc(80), 80);
}

static void start(void)
{
    for (int i = 0; i < 2000; i++)
        queue_put(&jobs, enqueue());
}

static void tick(long number)
{
    if (number % 2 == 0)
        queue_put(&jobs, enqueue());
    if (number % 3 == 0)
        queue_free(&jobs);
}
