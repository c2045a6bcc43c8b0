/* Works as fast as it can for four fifths of the time: a block for each step, freed at its end.
 * rate: 100000
 * keeps: make_step */
#include "corpus.h"

NOINLINE static void *make_step(void)
{
    return use(malloc(32 + corpus_random(64)), 32);
}

static void start(void) {}

static void tick(long number)
{
    (void)number;
    long began = corpus_now();
    while (within(began, 80)) {
        void *step = make_step();
        work(6);
        free(step);
        done(1);
    }
}
