/* One block in 100,000 is forgotten, by the function that hands out 100,000 a second.
 * rate: 100000
 * leak: parse_token
 * lost: parse_token */
#include "corpus.h"

NOINLINE static void *parse_token(void)
{
    return use(malloc(56), 56);
}

static void start(void) {}

static void tick(long number)
{
    static unsigned long tokens;
    static void *volatile last;
    (void)number;
    for (int i = 0; i < 1000; i++) {
        void *volatile token = parse_token();
        if (++tokens % 100000)
            free(token);
        else
            last = token;
    }
    done(1000);
    (void)last;
}
