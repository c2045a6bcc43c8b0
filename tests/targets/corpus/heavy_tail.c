/* Most blocks live for a moment, some for long, and each is freed in the end.
 * keeps: open_stream */
#include "corpus.h"

#define SLOTS (1 << 14)

struct stream {
    struct stream *next;
    char data[120];
};

static struct stream *due[SLOTS];

NOINLINE static struct stream *open_stream(void)
{
    return use(malloc(sizeof(struct stream)), sizeof(struct stream));
}

/* How many ticks it lives: of those that live for some time, half live twice as long, and so on. */
static long lifetime(void)
{
    long ticks = 5;
    while (ticks < 80 * HZ && corpus_random(2))
        ticks *= 2;
    return ticks + corpus_random(ticks);
}

static void open_until(long number)
{
    struct stream *stream = open_stream();
    stream->next = due[number % SLOTS];
    due[number % SLOTS] = stream;
}

static void start(void)
{
    for (long born = -160 * HZ; born < 0; born++) {
        long death = born + lifetime();
        if (born % 3 == 0 && death > 0)
            open_until(death);
    }
}

static void tick(long number)
{
    if (number % 3 == 0)
        open_until(number + lifetime());
    while (due[number % SLOTS]) {
        struct stream *stream = due[number % SLOTS];
        due[number % SLOTS] = stream->next;
        free(stream);
    }
}
