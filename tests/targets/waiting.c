/* Threads that wait in system calls, or are busy in one of several ways.
 *
 *     waiting KIND...    a thread of each kind: read, futex, timed, sleep, poll, epoll, pause, hot,
 *                        signals, churn
 *
 * "fork N" starts a child that allocates for N seconds, and is answered with its PID; "exec PROGRAM"
 * runs another program. "wake" ends the threads, and is answered with a line for each, "KIND
 * RESULT", in their order. The result of one that waits is how often its call came back by itself
 * (only epoll's may), or "wrong" if it did not end as it should. That of one that is busy is how much
 * it has done, or "wrong" if a block was changed meanwhile. Exits with 0 if nothing was wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MANY = 600, BLOCKS = 64, ALTERNATE_BYTES = 1 << 16 };
static const long SLEEP_NS = 1500000000, TICK_NS = 300000;

struct waiter {
    const char *kind;
    pthread_t thread;
    int pipe[2];
    long result;
    atomic_int is_ready;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t called = PTHREAD_COND_INITIALIZER;
static int is_called;
static atomic_int is_over;
static atomic_long ticks;
static const long WRONG = -1;

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Allocates, resizes and frees; returns how often, or WRONG if a block was changed meanwhile. */
static long be_busy(void)
{
    unsigned char *blocks[BLOCKS] = {0};
    size_t sizes[BLOCKS] = {0};
    unsigned seed = 1;
    long rounds = 0;

    while (!is_over) {
        unsigned place = (seed = seed * 1103515245 + 12345) >> 16 & (BLOCKS - 1);
        size_t size = 16 + (seed >> 8 & 511);

        if (blocks[place] == NULL) {
            blocks[place] = rounds & 1 ? malloc(size) : calloc(1, size);
        } else if (blocks[place][0] != (unsigned char)sizes[place]
                   || blocks[place][sizes[place] - 1] != (unsigned char)sizes[place]) {
            return WRONG;
        } else if (seed & 1 << 20) {
            blocks[place] = realloc(blocks[place], size);
        } else {
            free(blocks[place]);
            blocks[place] = NULL;
        }
        if (blocks[place] != NULL)
            memset(blocks[place], (int)(sizes[place] = size), size);
        rounds++;
    }
    for (int place = 0; place < BLOCKS; place++)
        free(blocks[place]);
    return rounds;
}

static void tick(int number)
{
    volatile int spin = 0;

    (void)number;
    while (spin < 40000)
        spin++;
    ticks++;
}

/* The same with a signal every moment, whose handler has a stack of its own. */
static long be_signalled(void)
{
    stack_t alternate = {.ss_sp = malloc(ALTERNATE_BYTES), .ss_size = ALTERNATE_BYTES};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    struct itimerspec interval = {{0, TICK_NS}, {0, TICK_NS}};
    timer_t timer;
    long rounds;

    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (sigaltstack(&alternate, NULL) != 0 || timer_create(CLOCK_MONOTONIC, &event, &timer) != 0
        || timer_settime(timer, 0, &interval, NULL) != 0)
        return WRONG;
    rounds = be_busy();
    timer_delete(timer);
    return rounds;
}

static void *live_shortly(void *nothing)
{
    free(malloc(100));
    return nothing;
}

static long make_threads(void)
{
    long made = 0;
    pthread_t thread;

    for (; !is_over; made++)
        if (pthread_create(&thread, NULL, live_shortly, NULL) != 0
            || pthread_join(thread, NULL) != 0)
            return WRONG;
    return made;
}

static int has_pipe(const struct waiter *one)
{
    return strcmp(one->kind, "read") == 0 || strcmp(one->kind, "epoll") == 0
           || strcmp(one->kind, "poll") == 0;
}

static long read_one(struct waiter *self)
{
    char byte;

    return read(self->pipe[0], &byte, 1) == 1 ? 0 : WRONG;
}

static long wait_for_call(int is_timed)
{
    struct timespec deadline;
    int error = 0;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += MANY;
    pthread_mutex_lock(&lock);
    while (!is_called && error == 0)
        error = is_timed ? pthread_cond_timedwait(&called, &lock, &deadline)
                         : pthread_cond_wait(&called, &lock);
    pthread_mutex_unlock(&lock);
    return error == 0 ? 0 : WRONG;
}

/* These two end by themselves: neither too early nor by a signal. */
static long sleep_long(void)
{
    struct timespec time = {SLEEP_NS / 1000000000, SLEEP_NS % 1000000000};
    double began = now();

    return nanosleep(&time, NULL) == 0 && now() - began >= (double)SLEEP_NS / 1e9 ? 0 : WRONG;
}

static long poll_long(struct waiter *self)
{
    struct pollfd wanted = {self->pipe[0], POLLIN, 0};
    double began = now();

    return poll(&wanted, 1, (int)(SLEEP_NS / 1000000)) == 0
           && now() - began >= (double)SLEEP_NS / 1e9 - 0.002 ? 0 : WRONG;
}

/* Its call is not repeated by the kernel: a plain attach interrupts it too. */
static long wait_for_event(struct waiter *self)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0), found;
    long interrupted = 0;

    epoll_ctl(epoll, EPOLL_CTL_ADD, self->pipe[0], &event);
    while ((found = epoll_wait(epoll, &event, 1, -1)) < 0 && errno == EINTR)
        interrupted++;
    close(epoll);
    return found == 1 ? interrupted : WRONG;
}

static long pause_until_signal(void)
{
    return pause() == -1 && errno == EINTR && is_over ? 0 : WRONG;
}

static long live(struct waiter *self)
{
    const char *kind = self->kind;

    self->is_ready = 1;
    if (strcmp(kind, "read") == 0)
        return read_one(self);
    if (strcmp(kind, "futex") == 0 || strcmp(kind, "timed") == 0)
        return wait_for_call(*kind == 't');
    if (strcmp(kind, "sleep") == 0)
        return sleep_long();
    if (strcmp(kind, "poll") == 0)
        return poll_long(self);
    if (strcmp(kind, "epoll") == 0)
        return wait_for_event(self);
    if (strcmp(kind, "pause") == 0)
        return pause_until_signal();
    if (strcmp(kind, "hot") == 0)
        return be_busy();
    if (strcmp(kind, "signals") == 0)
        return be_signalled();
    return strcmp(kind, "churn") == 0 ? make_threads() : WRONG;
}

static void *begin(void *self)
{
    ((struct waiter *)self)->result = live(self);
    return NULL;
}

static int wake(struct waiter *one)
{
    /* that of poll stays empty */
    if (has_pipe(one) && strcmp(one->kind, "poll") != 0 && write(one->pipe[1], "x", 1) != 1)
        exit(EXIT_FAILURE);
    if (strcmp(one->kind, "pause") == 0)
        pthread_kill(one->thread, SIGUSR1);
    pthread_join(one->thread, NULL);
    if (one->result == WRONG)
        printf("%s wrong\n", one->kind);
    else
        printf("%s %ld\n", one->kind, one->result);
    return one->result != WRONG;
}

int main(int count, char **kinds)
{
    struct waiter *all = calloc((size_t)count, sizeof *all);
    struct sigaction action = {.sa_handler = tick, .sa_flags = SA_ONSTACK | SA_RESTART};
    char command[256], program[256];
    int seconds, status = EXIT_SUCCESS;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 1; i < count; i++) {
        all[i].kind = kinds[i];
        if ((has_pipe(&all[i]) && pipe(all[i].pipe) != 0)
            || pthread_create(&all[i].thread, NULL, begin, &all[i]) != 0)
            return EXIT_FAILURE;
        while (!all[i].is_ready)
            sched_yield();
    }
    puts("ready");
    while (fgets(command, sizeof command, stdin)) {
        if (sscanf(command, "fork %d", &seconds) == 1) {        /* a child that lives so long */
            pid_t child = fork();

            if (child == 0) {
                alarm((unsigned)seconds);
                for (;;) {
                    struct timespec moment = {0, 1000000};

                    free(malloc(100));
                    nanosleep(&moment, NULL);
                }
            }
            printf("%d\n", child);
            continue;
        }
        if (sscanf(command, "exec %200s", program) == 1) {
            execl(program, program, (char *)NULL);
            return EXIT_FAILURE;
        }
        pthread_mutex_lock(&lock);
        is_called = 1;
        pthread_cond_broadcast(&called);
        pthread_mutex_unlock(&lock);
        is_over = 1;
        for (int i = 1; i < count; i++)
            if (!wake(&all[i]))
                status = EXIT_FAILURE;
    }
    free(all);
    return status;
}
