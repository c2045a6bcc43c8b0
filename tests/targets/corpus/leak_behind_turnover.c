/* Entries of a cache live for a minute, and there are as many as there will ever be. Another function forgets blocks
 * of the same size, a tenth as many.
 * rate: 300
 * leak: parse_header
 * lost: parse_header
 * keeps: cache_insert */
#include "corpus.h"

static struct queue cache;

NOINLINE static void *cache_insert(void)
{
    return use(malloc(72), 72);
}

NOINLINE static void *parse_header(void)
{
    return use(malloc(72), 72);
}

static void start(void)
{
    for (int i = 0; i < 60 * HZ; i++)
        queue_put(&cache, cache_insert());
}

static void tick(long number)
{
    static void *volatile last;
    queue_put(&cache, cache_insert());
    queue_free(&cache);
    void *header = parse_header();
    work(10);
    if (number % 10)
        free(header);
    else
        last = header;
    (void)last;
}
