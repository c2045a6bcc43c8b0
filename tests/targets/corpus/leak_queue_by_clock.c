/* Jobs come by the clock, half again as many as one thread can do.
 * rate: 3000
 * growing: put_job
 * keeps: make_scratch */
#define THREADS 1
#define QUEUE (1 << 21)
#include "corpus.h"

static struct queue jobs;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

NOINLINE static void put_job(void)
{
    void *job = use(malloc(72), 72);
    pthread_mutex_lock(&lock);
    queue_put(&jobs, job);
    pthread_mutex_unlock(&lock);
}

NOINLINE static void *make_scratch(void)
{
    return use(malloc(2000), 2000);
}

static void start(void)
{
    for (int i = 0; i < 3000; i++)
        put_job();
}

static void tick(long number)
{
    (void)number;
    for (int i = 0; i < 12; i++)
        put_job();
}

static void thread_tick(int which, long number)
{
    (void)which, (void)number;
    for (int i = 0; i < 8; i++) {
        void *scratch = make_scratch();
        pthread_mutex_lock(&lock);
        void *job = queue_take(&jobs);
        pthread_mutex_unlock(&lock);
        work(20);
        free(job);
        free(scratch);
    }
    done(8);
}
