/* A job reads rows for twelve seconds, sums them up, frees all of them, rests for a second, and begins anew.
 * rate: 300
 * keeps: read_row
 * keeps: parse_number */
#include "corpus.h"

static struct queue rows;

NOINLINE static void *read_row(void)
{
    return use(malloc(190), 190);
}

NOINLINE static void *parse_number(void)
{
    return use(malloc(40), 40);
}

static void start(void) {}

static void tick(long number)
{
    long phase = number % (13 * HZ);
    if (phase < 12 * HZ) {
        void *text = parse_number();
        queue_put(&rows, read_row());
        queue_put(&rows, read_row());
        work(10);
        free(text);
    } else
        while (queue_length(&rows))
            queue_free(&rows);
}
