/* A cache that takes seventeen seconds to fill, then replaces its oldest entry.
 * window: 30
 * keeps: insert
 * keeps: answer */
#include "corpus.h"

static struct queue cache;

NOINLINE static void *insert(void)
{
    return use(malloc(320), 320);
}

NOINLINE static void *answer(void)
{
    return use(malloc(150), 150);
}

static void start(void) {}

static void tick(long number)
{
    if (number % 2)
        return;
    free(answer());
    if (number < SOON)
        return;
    queue_put(&cache, insert());
    if (queue_length(&cache) > 850)
        queue_free(&cache);
}
