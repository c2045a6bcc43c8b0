/* One block in a hundred is forgotten, by the function that hands out all of them.
 * leak: open_session
 * lost: open_session */
#include "corpus.h"

NOINLINE static void *open_session(void)
{
    return use(malloc(128), 128);
}

static void start(void) {}

static void tick(long number)
{
    (void)number;
    for (int i = 0; i < 2; i++) {
        void *session = open_session();
        if (corpus_random(100))
            free(session);
    }
}
