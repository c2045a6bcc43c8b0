/* Entries of many sizes expire after ten minutes; there are as many as there will ever be.
 * keeps: remember */
#include "corpus.h"

static struct queue entries;

NOINLINE static void *remember(void)
{
    size_t size = 64 << corpus_random(4);
    return use(malloc(size), size);
}

static void start(void)
{
    for (int i = 0; i < 600 * 20; i++)
        queue_put(&entries, remember());
}

static void tick(long number)
{
    if (number % 5)
        return;
    queue_put(&entries, remember());
    queue_free(&entries);
}
