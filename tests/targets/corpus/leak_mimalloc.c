/* With mimalloc, 20,000 packets a second are read in four threads; one in 2,000 is forgotten.
 * rate: 20000
 * allocator: mimalloc
 * leak: read_packet
 * lost: read_packet */
#define THREADS 4
#include "corpus.h"

static void *volatile last;

NOINLINE static void *read_packet(void)
{
    return use(malloc(64 + corpus_random(1400)), 64);
}

static void start(void) {}

static void tick(long number)
{
    (void)number;
}

static void thread_tick(int which, long number)
{
    (void)which, (void)number;
    for (int i = 0; i < 50; i++) {
        void *packet = read_packet();
        work(3);
        if (corpus_random(2000))
            free(packet);
        else
            last = packet;
    }
    done(50);
}
