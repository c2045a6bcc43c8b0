/* Entries expire after a minute, and the program has just started: none has expired yet. In half a minute
 * nobody can tell that from a leak; who says `leak` for certain says too much all the same.
 * window: 30
 * keeps: remember */
#include "corpus.h"

static struct queue entries;

NOINLINE static void *remember(void)
{
    return use(malloc(120), 120);
}

static void start(void) {}

static void tick(long number)
{
    if (number % 4)
        return;
    queue_put(&entries, remember());
    if (queue_length(&entries) > 60 * HZ / 4)
        queue_free(&entries);
}
