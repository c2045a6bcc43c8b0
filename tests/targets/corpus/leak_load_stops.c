/* Each request loses a block; after two thirds of the window there are no more requests.
 * leak: remember_client
 * lost: remember_client
 * keeps: answer */
#include "corpus.h"

NOINLINE static void *remember_client(void)
{
    return use(malloc(112), 112);
}

NOINLINE static void *answer(void)
{
    return use(malloc(400), 400);
}

static void start(void) {}

static void tick(long number)
{
    static void *volatile last;
    if (number > SOON + 12 * HZ || number % 5)
        return;
    last = remember_client();
    for (int i = 0; i < 10; i++)
        free(answer());
    (void)last;
}
