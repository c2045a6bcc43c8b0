/* It begins to leak in the window.
 * leak: log_error
 * lost: log_error */
#include "corpus.h"

NOINLINE static void *log_error(void)
{
    return use(malloc(200), 200);
}

static void start(void) {}

static void tick(long number)
{
    static void *volatile last;
    if (number >= SOON + 5 * HZ && number % 10 == 0)
        last = log_error();
    (void)last;
}
