/* Buffers that are written out, and freed, every eight seconds.
 * keeps: buffer_record */
#include "corpus.h"

static struct queue buffers;

NOINLINE static void *buffer_record(void)
{
    return use(malloc(1024), 1024);
}

static void start(void) {}

static void tick(long number)
{
    if (number % 5 == 0)
        queue_put(&buffers, buffer_record());
    if (number % (8 * HZ) == 8 * HZ - 1)
        while (queue_length(&buffers))
            queue_free(&buffers);
}
