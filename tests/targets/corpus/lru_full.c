/* The same cache, full since long ago: an entry lives for 30 seconds.
 * keeps: cache_insert */
#include "corpus.h"

static struct queue cache;

NOINLINE static void *cache_insert(void)
{
    return use(malloc(256), 256);
}

static void start(void)
{
    for (int i = 0; i < 600; i++)
        queue_put(&cache, cache_insert());
}

static void tick(long number)
{
    if (number % 5)
        return;
    queue_free(&cache);
    queue_put(&cache, cache_insert());
}
