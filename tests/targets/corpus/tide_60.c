/* A load that goes up and down in a minute. In half a minute of the rising tide nobody can tell it from a queue
 * that grows; it is `keeps`, because everything goes again.
 * rate: 3000
 * window: 30
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
    long phase = number % (60 * HZ), half = 30 * HZ;
    unsigned long wanted = (phase < half ? phase : 2 * half - phase) * 2 + 2000;
    for (int i = 0; i < 22; i++) {
        void *page = answer();
        work(5);
        free(page);
    }
    for (int i = 0; i < 10; i++)
        queue_put(&sessions, open_session());
    while (queue_length(&sessions) > wanted)
        queue_free(&sessions);
    done(22);
}
