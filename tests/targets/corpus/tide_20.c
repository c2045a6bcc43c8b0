/* A load that goes up and down once in twenty seconds, and what is in use with it.
 * rate: 300
 * keeps: open_session
 * keeps: answer */
#include "corpus.h"

static struct queue sessions;

NOINLINE static void *open_session(void)
{
    return use(malloc(240), 240);
}

NOINLINE static void *answer(void)
{
    return use(malloc(900), 900);
}

static void start(void) {}

static void tick(long number)
{
    long phase = number % (20 * HZ), half = 10 * HZ;
    unsigned long wanted = (phase < half ? phase : 2 * half - phase) * 2 + 200;
    for (int i = 0; i < 2; i++) {
        void *page = answer();
        work(10);
        free(page);
    }
    queue_put(&sessions, open_session()); /* who comes takes the place of who has been here longest */
    if (queue_length(&sessions) < wanted)
        queue_put(&sessions, open_session());
    while (queue_length(&sessions) > wanted)
        queue_free(&sessions);
}
