/* 3,000 entries a second are put into a cache; it is full five seconds after the window has begun.
 * rate: 3000
 * keeps: insert */
#include "corpus.h"

static struct queue cache;

NOINLINE static void *insert(void)
{
    return use(malloc(96), 96);
}

static void start(void) {}

static void tick(long number)
{
    for (int i = 0; number >= SOON && i < 30; i++) {
        if (queue_length(&cache) == 15000)
            queue_free(&cache);
        queue_put(&cache, insert());
        work(5);
    }
    done(30);
}
