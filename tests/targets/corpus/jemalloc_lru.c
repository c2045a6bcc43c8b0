/* With jemalloc, a cache that is full since long ago, and replaces its oldest entry 1,000 times a second.
 * rate: 3000
 * allocator: jemalloc
 * keeps: cache_insert
 * keeps: answer */
#include "corpus.h"

static struct queue cache;

NOINLINE static void *cache_insert(void)
{
    return use(malloc(100 + corpus_random(200)), 100);
}

NOINLINE static void *answer(void)
{
    return use(malloc(700), 700);
}

static void start(void)
{
    for (int i = 0; i < 50000; i++)
        queue_put(&cache, cache_insert());
}

static void tick(long number)
{
    (void)number;
    for (int i = 0; i < 10; i++) {
        void *page = answer(), *other = answer();
        queue_free(&cache);
        queue_put(&cache, cache_insert());
        work(10);
        free(page);
        free(other);
    }
    done(10);
}
