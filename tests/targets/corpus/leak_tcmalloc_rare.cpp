/* With tcmalloc, objects go through a pipeline of three threads; one in 2,000 falls out between two of them.
 * rate: 20000
 * allocator: tcmalloc
 * leak: make_event
 * lost: make_event
 * keeps: serialize */
#define THREADS 3
#include <string>

#include "corpus.h"

struct event {
    long fields[9];
};

static struct queue stages[2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

NOINLINE static event *make_event(long number)
{
    event *made = new event();
    made->fields[0] = number;
    return made;
}

NOINLINE static std::string serialize(const event *given)
{
    return std::string(100 + given->fields[0] % 80, 's');
}

static void put(int stage, void *made)
{
    pthread_mutex_lock(&lock);
    queue_put(&stages[stage], made);
    pthread_mutex_unlock(&lock);
}

static event *take(int stage)
{
    pthread_mutex_lock(&lock);
    event *taken = queue_length(&stages[stage]) ? (event *)queue_take(&stages[stage]) : NULL;
    pthread_mutex_unlock(&lock);
    return taken;
}

static void start() {}

static void tick(long) {}

static void thread_tick(int which, long number)
{
    event *taken;
    for (int i = 0; which == 0 && i < 100; i++)
        put(0, make_event(number));
    for (int i = 0; which == 1 && i < 200 && (taken = take(0)); i++) {
        serialize(taken);
        work(5);
        if (corpus_random(2000))
            put(1, taken);
    }
    for (int i = 0; which == 2 && i < 200 && (taken = take(1)); i++) {
        done(1);
        delete taken;
    }
}
