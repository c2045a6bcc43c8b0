/* Every block is forgotten.
 * leak: keep_for_ever
 * lost: keep_for_ever */
#include "corpus.h"

NOINLINE static void *keep_for_ever(void)
{
    return use(malloc(64), 64);
}

static void start(void) {}

static void tick(long number)
{
    static void *volatile last;
    if (number % 3 == 0)
        last = keep_for_ever();
    (void)last;
}
