/* Every different word is kept once: there are ever fewer new ones.
 * keeps: intern */
#include "corpus.h"

#define WORDS 300

void *known[WORDS]; /* not static: a bit would do for each of them */

NOINLINE static void *intern(void)
{
    return use(malloc(32), 32);
}

static void start(void) {}

static void tick(long number)
{
    if (number < SOON)
        return;
    unsigned long word = corpus_random(WORDS);
    if (!known[word])
        known[word] = intern();
}
