/* A pool that opens twelve connections as it needs them, and lends them out.
 * keeps: connect_to_database
 * keeps: borrow */
#include "corpus.h"

void *connections[12]; /* not static: what nobody reads would not be written either */

NOINLINE static void *connect_to_database(void)
{
    return use(malloc(4000), 4000);
}

NOINLINE static void *borrow(void)
{
    return use(malloc(64), 64);
}

static void start(void) {}

static void tick(long number)
{
    static void *lent;
    if (number % 10)
        return;
    long which = (number - SOON) / 10;
    if (number >= SOON && which < 12)
        connections[which] = connect_to_database();
    free(lent);
    lent = borrow();
}
