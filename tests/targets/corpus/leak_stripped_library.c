/* A stripped library, linked to the program, forgets one of the blocks that it makes in each twenty calls.
 * rate: 3000
 * module: linked
 * leak: use_library
 * lost: use_library
 * keeps: read_request */
#include "corpus.h"

__attribute__((visibility("default"))) void library_parse(void);

#ifdef MODULE
static NOINLINE void *make_node(size_t size)
{
    return use(malloc(size), size);
}

void library_parse(void)
{
    static void *volatile last;
    void *nodes[6];
    for (int i = 0; i < 6; i++)
        nodes[i] = make_node(24 + 8 * i);
    for (int i = 0; i < 5; i++)
        free(nodes[i]);
    if (corpus_random(20))
        free(nodes[5]);
    else
        last = nodes[5];
    (void)last;
}
#else
NOINLINE static void *read_request(void)
{
    return use(malloc(500), 500);
}

NOINLINE static void use_library(void)
{
    library_parse();
    work(30);
}
#endif

static void start(void) {}

static void tick(long number)
{
    (void)number;
#ifndef MODULE
    for (int i = 0; i < 4; i++) {
        void *request = read_request();
        use_library();
        free(request);
    }
    done(4);
#endif
}
