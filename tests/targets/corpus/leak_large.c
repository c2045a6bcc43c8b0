/* A large block every three seconds.
 * leak: load_image
 * lost: load_image */
#include "corpus.h"

NOINLINE static void *load_image(void)
{
    return use(malloc(300000), 300000);
}

static void start(void) {}

static void tick(long number)
{
    static void *volatile last;
    if (number % (3 * HZ) == 50)
        last = load_image();
    (void)last;
}
