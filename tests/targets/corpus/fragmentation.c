/* Blocks that are cut down to what is needed of them, and live for 30 seconds. What is cut off is never
 * large enough for the next one: the resident set grows, what is in use does not.
 * keeps: make_record */
#include "corpus.h"

static struct queue records;
static size_t size = 20000;

NOINLINE static void *make_record(void)
{
    void *record = use(malloc(size), size);
    size += 32;
    return realloc(record, 24);
}

static void start(void)
{
    for (int i = 0; i < 30 * 20; i++)
        queue_put(&records, malloc(24));
}

static void tick(long number)
{
    if (number % 5)
        return;
    queue_put(&records, make_record());
    queue_free(&records);
}
