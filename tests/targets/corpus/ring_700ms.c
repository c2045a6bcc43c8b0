/* A ring of the latest 14,000 packets, which come 20,000 times a second: each lives for 0.7 seconds.
 * rate: 20000
 * keeps: receive */
#include "corpus.h"

static struct queue ring;

NOINLINE static void *receive(void)
{
    return use(malloc(100 + corpus_random(1300)), 100);
}

static void start(void) {}

static void tick(long number)
{
    (void)number;
    for (int i = 0; i < 200; i++) {
        queue_put(&ring, receive());
        if (queue_length(&ring) > 14000)
            queue_free(&ring);
        work(5);
    }
    done(200);
}
