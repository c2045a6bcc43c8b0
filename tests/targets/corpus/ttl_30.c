/* Entries of many sizes expire after 30 seconds.
 * keeps: remember */
#include "corpus.h"

static struct queue entries;

NOINLINE static void *remember(void)
{
    size_t size = 32 << corpus_random(5);
    return use(malloc(size), size);
}

static void start(void)
{
    for (int i = 0; i < 30 * 25; i++)
        queue_put(&entries, remember());
}

static void tick(long number)
{
    if (number % 4)
        return;
    queue_put(&entries, remember());
    queue_free(&entries);
}
