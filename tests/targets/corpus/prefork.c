/* A server of four processes, each with a cache that was half filled before they were forked, and is full.
 * rate: 300
 * process: child
 * keeps: cache_insert
 * keeps: answer */
#define CHILDREN 4
#include "corpus.h"

static struct queue cache;

NOINLINE static void *cache_insert(void)
{
    return use(malloc(300), 300);
}

NOINLINE static void *answer(void)
{
    return use(malloc(1000), 1000);
}

static void start(void)
{
    for (int i = 0; i < 4000; i++)
        queue_put(&cache, cache_insert());
}

static void tick(long number)
{
    (void)number;
    for (int i = 0; i < 2; i++) {
        void *page = answer();
        work(20);
        free(page);
    }
    queue_put(&cache, cache_insert());
    queue_free(&cache);
    done(2);
}
