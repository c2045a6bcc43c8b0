/* Messages are handed from one thread to another through a pipe, by their addresses. The pipe is usually long:
 * a message waits in it for fifteen seconds, and only the kernel knows it.
 * rate: 300
 * keeps: make_message */
#include "corpus.h"
#include <fcntl.h>

static int ends[2];

NOINLINE static void *make_message(void)
{
    return use(malloc(230), 230);
}

static void put(void)
{
    void *message = make_message();
    if (write(ends[1], &message, sizeof message) != sizeof message)
        abort();
    message = NULL;
}

static void start(void)
{
    if (pipe(ends))
        abort();
    fcntl(ends[1], F_SETPIPE_SZ, 1 << 18);
    for (int i = 0; i < 15 * HZ; i++)
        put();
}

static void tick(long number)
{
    void *message;
    (void)number;
    put();
    if (read(ends[0], &message, sizeof message) != sizeof message)
        abort();
    work(20);
    free(message);
    message = NULL;
}
