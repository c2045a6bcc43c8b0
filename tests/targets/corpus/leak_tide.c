/* The load goes up and down once in twenty seconds; one block in a hundred is forgotten.
 * rate: 300
 * leak: open_ticket
 * lost: open_ticket
 * keeps: make_reply */
#include "corpus.h"

static struct queue replies;

NOINLINE static void *open_ticket(void)
{
    return use(malloc(90), 90);
}

NOINLINE static void *make_reply(void)
{
    return use(malloc(350), 350);
}

static void start(void) {}

static void tick(long number)
{
    static void *volatile last;
    long phase = number % (20 * HZ), load = (phase < 10 * HZ ? phase : 20 * HZ - phase) * 4 / (10 * HZ);
    for (long i = 0; i < load; i++) {
        void *ticket = open_ticket();
        queue_put(&replies, make_reply());
        if (corpus_random(100))
            free(ticket);
        else
            last = ticket;
    }
    /* A reply takes as long as the load makes it wait. */
    while (queue_length(&replies) > (unsigned long)load * 60)
        queue_free(&replies);
    (void)last;
}
