/* Jobs come by the clock, and one thread does them, which could do six times as many.
 * rate: 3000
 * keeps: put_job
 * keeps: make_scratch */
#include "corpus.h"

static struct queue jobs;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t come = PTHREAD_COND_INITIALIZER;

NOINLINE static void *put_job(void)
{
    return use(malloc(72), 72);
}

NOINLINE static void *make_scratch(void)
{
    return use(malloc(2000), 2000);
}

static void *take_jobs(void *unused)
{
    while (1) {
        pthread_mutex_lock(&lock);
        while (!queue_length(&jobs))
            pthread_cond_wait(&come, &lock);
        void *job = queue_take(&jobs), *scratch = make_scratch();
        pthread_mutex_unlock(&lock);
        work(100);
        free(scratch);
        free(job);
        done(1);
    }
    return unused;
}

static void start(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, take_jobs, NULL);
}

static void tick(long number)
{
    (void)number;
    for (int i = 0; i < 15; i++) {
        void *job = put_job();
        pthread_mutex_lock(&lock);
        if (queue_length(&jobs) < QUEUE)
            queue_put(&jobs, job);
        else
            free(job);
        pthread_cond_signal(&come);
        pthread_mutex_unlock(&lock);
    }
}
