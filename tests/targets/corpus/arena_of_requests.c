/* Each request has an arena, whose chunks are freed together when it has been answered; as many as
 * can be answered in 60 % of the time.
 * rate: 20000
 * keeps: add_chunk
 * keeps: begin_request */
#include "corpus.h"

NOINLINE static void **begin_request(void)
{
    return (void **)use(malloc(12 * sizeof(void *)), 12);
}

NOINLINE static void *add_chunk(void)
{
    return use(malloc(1024), 1024);
}

static void start(void) {}

static void tick(long number)
{
    (void)number;
    long began = corpus_now();
    while (within(began, 60)) {
        void **arena = begin_request();
        int chunks = 5 + corpus_random(7);
        for (int chunk = 0; chunk < chunks; chunk++) {
            arena[chunk] = add_chunk();
            work(25);
        }
        while (chunks--)
            free(arena[chunks]);
        free(arena);
        done(1);
    }
}
