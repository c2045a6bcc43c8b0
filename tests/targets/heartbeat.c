/* Threads of which some watch the clock, so that it is known for how long they were halted.

       heartbeat THREADS   so many: the first four and the last do, the others sleep

   Says "ready", then obeys a line at a time:
       gap       the longest time, in ms, that one of them has missed since the last "gap"
       vfork N   a thread starts a child that sleeps for N ms; "started"
       leak N    N blocks of 100 bytes; "leaked" */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct timespec BEAT = {0, 500000}, LONG = {3600, 0};
static pthread_attr_t small;
static atomic_long longest;
static atomic_int started;

static long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void look(long due)
{
    long missed = now() - due, known = longest;
    while (missed > known && !atomic_compare_exchange_weak(&longest, &known, missed))
        ;
}

static void *beat(void *unused)
{
    for (;;) {
        long due = now() + BEAT.tv_nsec;
        nanosleep(&BEAT, NULL);
        look(due);
    }
    return unused;
}

static void *sleep_on(void *unused)
{
    for (;;)
        nanosleep(&LONG, NULL);
    return unused;
}

static void *fork_once(void *duration)
{
    long ms = (long)duration;
    struct timespec sleep = {ms / 1000, ms % 1000 * 1000000};

    started = 1;
    pid_t child = vfork();
    if (child == 0) {
        nanosleep(&sleep, NULL);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    return NULL;
}

static void start(void *(*work)(void *), long argument)
{
    pthread_t thread;
    if (pthread_create(&thread, &small, work, (void *)argument) != 0)
        exit(EXIT_FAILURE);
}

int main(int count, char **arguments)
{
    int threads = count > 1 ? atoi(arguments[1]) : 2, number;
    char command[256];

    struct pollfd input = {0, POLLIN, 0};

    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 1 << 16);
    for (int i = 1; i < threads; i++)
        start(i < 4 || i == threads - 1 ? beat : sleep_on, 0);
    setvbuf(stdout, NULL, _IONBF, 0);           /* nothing but what is asked for may allocate */
    puts("ready");
    for (;;) {
        long due = now() + BEAT.tv_nsec;
        int has_line = ppoll(&input, 1, &BEAT, NULL);
        ssize_t size;

        look(due);
        if (!has_line)
            continue;
        if ((size = read(0, command, sizeof command - 1)) <= 0)
            return EXIT_SUCCESS;
        command[size] = 0;
        if (sscanf(command, "vfork %d", &number) == 1) {
            started = 0;
            start(fork_once, number);
            while (!started)
                usleep(1000);
            puts("started");
        } else if (sscanf(command, "leak %d", &number) == 1) {
            for (int i = 0; i < number; i++) {
                due = now();
                void *volatile block = malloc(100);
                (void)block;
                look(due);
            }
            puts("leaked");
        } else {
            printf("%.3f\n", (double)atomic_exchange(&longest, 0) / 1e6);
        }
    }
}
