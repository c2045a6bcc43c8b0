/* With jemalloc, entries expire after a minute; there are as many as there will ever be. Lines live for a moment.
 * rate: 300
 * allocator: jemalloc
 * keeps: remember
 * keeps: read_line */
#include "corpus.h"

static struct queue entries;

NOINLINE static void *remember(void)
{
    return use(malloc(100 + corpus_random(300)), 100);
}

NOINLINE static void *read_line(void)
{
    return use(malloc(30 + corpus_random(80)), 30);
}

static void start(void)
{
    for (int i = 0; i < 60 * HZ; i++)
        queue_put(&entries, remember());
}

static void tick(long number)
{
    void *line = read_line(), *other = read_line();
    (void)number;
    queue_put(&entries, remember());
    queue_free(&entries);
    work(10);
    free(line);
    free(other);
}
