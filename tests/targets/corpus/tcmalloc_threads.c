/* With tcmalloc, eight threads make messages for each other; each lives for about half a second.
 * rate: 20000
 * allocator: tcmalloc
 * keeps: make_message */
#define THREADS 8
#include "corpus.h"

static struct queue boxes[THREADS];
static pthread_mutex_t locks[THREADS];

NOINLINE static void *make_message(void)
{
    return use(malloc(50 + corpus_random(300)), 50);
}

static void start(void)
{
    for (int which = 0; which < THREADS; which++)
        pthread_mutex_init(&locks[which], NULL);
}

static void tick(long number)
{
    (void)number;
}

static void thread_tick(int which, long number)
{
    int to = (which + number) % THREADS;
    for (int i = 0; i < 25; i++) {
        void *message = make_message();
        work(3);
        pthread_mutex_lock(&locks[to]);
        queue_put(&boxes[to], message);
        if (queue_length(&boxes[to]) > 1200)
            queue_free(&boxes[to]);
        pthread_mutex_unlock(&locks[to]);
    }
    done(25);
}
