/* Objects are taken from a pool and given back, 3,000 a second; it makes new ones only when it is empty, and
 * the load, which goes up and down, has been as high before.
 * rate: 3000
 * keeps: make_object
 * keeps: make_message */
#include "corpus.h"

static struct queue pool, taken;

NOINLINE static void *make_object(void)
{
    return use(malloc(400), 400);
}

NOINLINE static void *make_message(void)
{
    return use(malloc(90), 90);
}

static void start(void) {}

static void tick(long number)
{
    unsigned long load = 20 + number % (5 * HZ) / 5;
    for (int i = 0; i < 30; i++) {
        void *message = make_message();
        queue_put(&taken, queue_length(&pool) ? queue_take(&pool) : make_object());
        while (queue_length(&taken) > load)
            queue_put(&pool, queue_take(&taken));
        work(5);
        free(message);
    }
    done(30);
}
