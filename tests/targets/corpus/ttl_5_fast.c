/* 3,000 entries a second, each for five seconds.
 * rate: 3000
 * keeps: remember */
#include "corpus.h"

static struct queue entries;

NOINLINE static void *remember(void)
{
    size_t size = 40 + 8 * corpus_random(20);
    return use(malloc(size), size);
}

static void start(void)
{
    for (int i = 0; i < 5 * 3000; i++)
        queue_put(&entries, remember());
}

static void tick(long number)
{
    (void)number;
    for (int i = 0; i < 30; i++) {
        queue_put(&entries, remember());
        queue_free(&entries);
        work(5);
    }
    done(30);
}
