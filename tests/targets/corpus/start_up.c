/* Tables that are built once, as soon as it runs, and kept.
 * keeps: build_table */
#include "corpus.h"

static void *table[400];

NOINLINE static void *build_table(void)
{
    return use(malloc(300), 300);
}

static void start(void) {}

static void tick(long number)
{
    if (number >= 1 * HZ && number < 3 * HZ)
        for (int i = 0; i < 2; i++)
            table[2 * (number - HZ) + i] = build_table();
}
