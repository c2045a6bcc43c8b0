/* Tables that are built once, in two seconds, and kept.
 * keeps: build_table */
#include "corpus.h"

void *table[400]; /* not static: what nobody reads would not be written either */

NOINLINE static void *build_table(void)
{
    return use(malloc(300), 300);
}

static void start(void) {}

static void tick(long number)
{
    if (number >= SOON && number < SOON + 2 * HZ)
        for (int i = 0; i < 2; i++)
            table[2 * (number - SOON) + i] = build_table();
}
