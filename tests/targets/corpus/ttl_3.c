/* Entries expire after three seconds.
 * keeps: remember */
#include "corpus.h"

static struct queue entries;

NOINLINE static void *remember(void)
{
    return use(malloc(100), 100);
}

static void start(void)
{
    for (int i = 0; i < 3 * 25; i++)
        queue_put(&entries, remember());
}

static void tick(long number)
{
    if (number % 4)
        return;
    queue_put(&entries, remember());
    queue_free(&entries);
}
