/* Threads that stand, and threads that come and go.
 *
 *     threads STANDING RATE     so many threads that wait, of which one in ten allocates now and
 *                               then, and so many new short-lived ones a second
 *
 * "roll" is answered with how many of the standing ones have answered, "made" with how many
 * short-lived ones have ended, "make N" with how many of N more have, each after three blocks.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 10, BLOCKS = 3, STACK_BYTES = 1 << 16 };

static pthread_attr_t small;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t called = PTHREAD_COND_INITIALIZER, answered = PTHREAD_COND_INITIALIZER;
static int calls, answers, standing, rate;
static atomic_int made;

static __attribute__((noinline)) void churn_standing(void)
{
    void *volatile block = malloc(100);
    free(block);
}

static __attribute__((noinline)) void churn_background(void)
{
    void *volatile block = malloc(100);
    free(block);
}

static __attribute__((noinline)) void churn(void)
{
    void *volatile block = malloc(100);
    free(block);
}

static void *live_shortly(void *work)
{
    for (int i = 0; i < BLOCKS; i++)
        ((void (*)(void))work)();
    made++;
    return NULL;
}

static void make_threads(int count, void (*work)(void))
{
    pthread_t threads[BATCH];

    for (int done = 0; done < count; done += BATCH) {
        int batch = count - done < BATCH ? count - done : BATCH;

        for (int i = 0; i < batch; i++)
            if (pthread_create(&threads[i], &small, live_shortly, (void *)work) != 0)
                exit(EXIT_FAILURE);
        for (int i = 0; i < batch; i++)
            pthread_join(threads[i], NULL);
    }
}

static void *make_for_ever(void *unused)
{
    struct timespec pause = {.tv_nsec = 1000000000L / rate};

    for (;;) {
        make_threads(1, churn_background);
        nanosleep(&pause, NULL);
    }
    return unused;
}

static void *stand(void *number)
{
    int seen = 0;

    pthread_mutex_lock(&lock);
    for (;;) {
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
        if (seen != calls) {
            seen = calls;
            answers++;
            pthread_cond_signal(&answered);
        } else if ((uintptr_t)number % 10 != 0) {
            pthread_cond_wait(&called, &lock);
        } else if (pthread_cond_timedwait(&called, &lock, &until) != 0) {
            churn_standing();
        }
    }
    return NULL;
}

static int roll(void)
{
    pthread_mutex_lock(&lock);
    calls++, answers = 0;
    pthread_cond_broadcast(&called);
    while (answers < standing)
        pthread_cond_wait(&answered, &lock);
    pthread_mutex_unlock(&lock);
    return answers;
}

int main(int count, char **arguments)
{
    pthread_t thread;
    char line[64];
    int number;

    if (count != 3)
        return EXIT_FAILURE;
    standing = atoi(arguments[1]);
    rate = atoi(arguments[2]);
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_BYTES);
    for (uintptr_t i = 0; i < (uintptr_t)standing; i++)
        if (pthread_create(&thread, &small, stand, (void *)i) != 0)
            return EXIT_FAILURE;
    roll();
    if (rate)
        pthread_create(&thread, &small, make_for_ever, NULL);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "make %d", &number) == 1) {
            make_threads(number, churn);
            printf("%d\n", number);
        } else {
            printf("%d\n", strcmp(line, "roll\n") == 0 ? roll() : made);
        }
    }
    return EXIT_SUCCESS;
}
