/* Sessions of fifteen seconds, each with a buffer, at a steady load.
 * rate: 300
 * keeps: open_session
 * keeps: make_buffer
 * keeps: read_request */
#include "corpus.h"

static struct queue sessions, buffers;

NOINLINE static void *open_session(void)
{
    return use(malloc(180), 180);
}

NOINLINE static void *make_buffer(void)
{
    return use(malloc(2048), 2048);
}

NOINLINE static void *read_request(void)
{
    return use(malloc(500), 500);
}

static void open_one(void)
{
    queue_put(&sessions, open_session());
    queue_put(&buffers, make_buffer());
}

static void start(void)
{
    for (int i = 0; i < 15 * 50; i++)
        open_one();
}

static void tick(long number)
{
    for (int i = 0; i < 2; i++) {
        void *request = read_request();
        work(10);
        free(request);
    }
    if (number % 2)
        return;
    open_one();
    queue_free(&sessions);
    queue_free(&buffers);
}
