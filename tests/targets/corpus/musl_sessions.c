/* With musl, sessions of fifteen seconds.
 * allocator: musl
 * keeps: open_session
 * keeps: read_request */
#include "corpus.h"

static struct queue sessions;

NOINLINE static void *open_session(void)
{
    return use(malloc(400), 400);
}

NOINLINE static void *read_request(void)
{
    return use(malloc(60 + corpus_random(500)), 60);
}

static void start(void)
{
    for (int i = 0; i < 15 * 20; i++)
        queue_put(&sessions, open_session());
}

static void tick(long number)
{
    if (number % 5)
        return;
    void *request = read_request();
    work(10);
    free(request);
    queue_put(&sessions, open_session());
    queue_free(&sessions);
}
