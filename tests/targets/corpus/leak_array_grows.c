/* An array is enlarged by sixteen elements ten times a second, beside 20,000 blocks a second.
 * rate: 20000
 * growing: add_samples
 * keeps: read_packet */
#include "corpus.h"

static long *samples;
static size_t length;

NOINLINE static void add_samples(void)
{
    samples = (long *)realloc(samples, (length + 16) * sizeof *samples);
    for (int i = 0; i < 16; i++)
        samples[length++] = i;
}

NOINLINE static void *read_packet(void)
{
    return use(malloc(64 + corpus_random(400)), 64);
}

static void start(void)
{
    for (int i = 0; i < 20; i++)
        add_samples();
}

static void tick(long number)
{
    for (int i = 0; i < 200; i++) {
        void *packet = read_packet();
        if (number % 10 == 0 && i == 88)
            add_samples();
        work(5);
        free(packet);
    }
    done(200);
}
