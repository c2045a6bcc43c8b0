/* An index is read for twenty seconds after the window has begun, as fast all the time, and is then complete.
 * Requests go on meanwhile, and after it.
 * window: 30
 * rate: 300
 * keeps: load_index
 * keeps: answer */
#include "corpus.h"

static struct queue entries;

NOINLINE static void *load_index(void)
{
    return use(malloc(110), 110);
}

NOINLINE static void *answer(void)
{
    return use(malloc(600), 600);
}

static void start(void) {}

static void tick(long number)
{
    void *page = answer();
    if (number >= SOON && number < SOON + 20 * HZ)
        queue_put(&entries, load_index());
    work(20);
    free(page);
}
