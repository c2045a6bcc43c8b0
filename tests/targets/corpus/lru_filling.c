/* A cache of bounded size that is filled in eight seconds, and then replaces the oldest entry.
 * keeps: cache_insert */
#include "corpus.h"

static struct queue cache;

NOINLINE static void *cache_insert(void)
{
    return use(malloc(256), 256);
}

static void start(void) {}

static void tick(long number)
{
    if (number < SOON || number % 4)
        return;
    if (queue_length(&cache) == 200)
        queue_free(&cache);
    queue_put(&cache, cache_insert());
}
