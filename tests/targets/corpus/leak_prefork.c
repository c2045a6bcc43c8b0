/* A server of four processes, forked before the first request; each forgets one name in fifty.
 * rate: 300
 * process: child
 * leak: resolve_name
 * lost: resolve_name
 * keeps: answer */
#define CHILDREN 4
#include "corpus.h"

NOINLINE static void *resolve_name(void)
{
    return use(malloc(80), 80);
}

NOINLINE static void *answer(void)
{
    return use(malloc(1000), 1000);
}

static void start(void) {}

static void tick(long number)
{
    static void *volatile last;
    (void)number;
    for (int i = 0; i < 2; i++) {
        void *page = answer(), *name = resolve_name();
        work(20);
        if (corpus_random(50))
            free(name);
        else
            last = name;
        free(page);
    }
    done(2);
    (void)last;
}
