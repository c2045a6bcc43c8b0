/* Entries expire after a minute; there are as many as there will ever be.
 * rate: 300
 * keeps: remember */
#include "corpus.h"

static struct queue entries;

NOINLINE static void *remember(void)
{
    return use(malloc(100), 100);
}

static void start(void)
{
    for (int i = 0; i < 60 * 300; i++)
        queue_put(&entries, remember());
}

static void tick(long number)
{
    (void)number;
    for (int i = 0; i < 3; i++) {
        queue_put(&entries, remember());
        queue_free(&entries);
    }
}
