/* A megabyte is forgotten every three seconds, among 50,000 small blocks a second.
 * rate: 50000
 * leak: load_picture
 * lost: load_picture
 * keeps: read_line */
#include "corpus.h"

NOINLINE static void *read_line(void)
{
    return use(malloc(20 + corpus_random(100)), 20);
}

NOINLINE static void *load_picture(void)
{
    return use(malloc(1 << 20), 1 << 20);
}

static void start(void) {}

static void tick(long number)
{
    static void *volatile last;
    for (int i = 0; i < 500; i++) {
        void *line = read_line();
        work(2);
        free(line);
    }
    if (number % (3 * HZ) == 120)
        last = load_picture();
    done(500);
    (void)last;
}
