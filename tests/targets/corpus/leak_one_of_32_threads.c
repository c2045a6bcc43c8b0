/* Of 32 threads that do the same work, one forgets one block in ten.
 * rate: 6000
 * leak: load_forgetful
 * lost: load_forgetful
 * keeps: load */
#define THREADS 32
#include "corpus.h"

static void *volatile last;

NOINLINE static void *load(void)
{
    return use(malloc(128), 128);
}

NOINLINE static void *load_forgetful(void)
{
    return use(malloc(128), 128);
}

static void start(void) {}

static void tick(long number)
{
    (void)number;
}

static void thread_tick(int which, long number)
{
    (void)number;
    for (int i = 0; i < 2; i++) {
        void *row = which == 20 ? load_forgetful() : load();
        work(20);
        if (which == 20 && corpus_random(10) == 0)
            last = row;
        else
            free(row);
    }
    done(2);
}
