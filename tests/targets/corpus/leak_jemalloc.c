/* With jemalloc, one session in twenty is forgotten.
 * rate: 300
 * allocator: jemalloc
 * leak: open_session
 * lost: open_session
 * keeps: make_reply */
#include "corpus.h"

static struct queue replies;

NOINLINE static void *open_session(void)
{
    return use(malloc(140), 140);
}

NOINLINE static void *make_reply(void)
{
    return use(malloc(600), 600);
}

static void start(void) {}

static void tick(long number)
{
    static void *volatile last;
    void *session = open_session();
    (void)number;
    for (int i = 0; i < 2; i++)
        queue_put(&replies, make_reply());
    while (queue_length(&replies) > 100)
        queue_free(&replies);
    if (corpus_random(20))
        free(session);
    else
        last = session;
    (void)last;
}
