/* With musl, one line of a file in ten is forgotten.
 * allocator: musl
 * leak: read_line
 * lost: read_line
 * keeps: open_file */
#include "corpus.h"

NOINLINE static void *read_line(void)
{
    return use(malloc(20 + corpus_random(120)), 20);
}

NOINLINE static void *open_file(void)
{
    return use(calloc(1, 1200), 1200);
}

static void start(void) {}

static void tick(long number)
{
    static void *volatile last;
    if (number % 5)
        return;
    void *file = open_file();
    for (int i = 0; i < 2; i++) {
        void *line = read_line();
        if (corpus_random(10))
            free(line);
        else
            last = line;
    }
    free(file);
    (void)last;
}
