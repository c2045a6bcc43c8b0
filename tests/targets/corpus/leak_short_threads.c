/* A thread for each job; what it keeps for itself is forgotten when it ends.
 * leak: make_context
 * lost: make_context
 * keeps: make_job */
#include "corpus.h"

NOINLINE static void *make_context(void)
{
    return use(malloc(260), 260);
}

NOINLINE static void *make_job(void)
{
    return use(malloc(120), 120);
}

static __thread void *volatile context;

static void *work_on(void *job)
{
    context = make_context();
    work(50);
    free(job);
    return NULL;
}

static void start(void) {}

static void tick(long number)
{
    pthread_t thread;
    if (number % 10 || pthread_create(&thread, NULL, work_on, make_job()))
        return;
    pthread_join(thread, NULL);
}
