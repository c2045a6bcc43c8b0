/* Twenty bytes are forgotten five times a second, beside 20,000 other blocks a second that live for a moment.
 * rate: 20000
 * leak: format_header
 * lost: format_header
 * keeps: read_packet */
#include "corpus.h"

NOINLINE static void *read_packet(void)
{
    return use(malloc(64 + corpus_random(400)), 64);
}

NOINLINE static void *format_header(void)
{
    return use(malloc(20), 20);
}

static void start(void) {}

static void tick(long number)
{
    static void *volatile last;
    for (int i = 0; i < 200; i++) {
        void *packet = read_packet();
        if (number % 20 == 0 && i == 137)
            last = format_header();
        work(5);
        free(packet);
    }
    done(200);
    (void)last;
}
