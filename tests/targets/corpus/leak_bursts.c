/* Fifty blocks at once, every four seconds.
 * leak: reload_rules
 * lost: reload_rules */
#include "corpus.h"

NOINLINE static void *reload_rules(void)
{
    return use(malloc(96), 96);
}

static void start(void) {}

static void tick(long number)
{
    static void *volatile last;
    for (int i = 0; number % (4 * HZ) == 30 && i < 50; i++)
        last = reload_rules();
    (void)last;
}
