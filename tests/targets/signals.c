/* Counts its own signals.
 *
 *     signals handler|sigwait|signalfd      how SIGINT, SIGTERM and SIGUSR1 are received
 *
 * A thread that works and allocates has timers of 1 kHz on real time (SIGALRM) and on processor
 * time (SIGPROF). The line "go N" makes another process and a thread send N queued values each, and
 * makes N children and N blocks; "counts" is answered with one line of JSON, at any time.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD_NS = 1000000, SECOND_NS = 1000000000, TIMERS = 2, QUEUES = 2 };

/* What was received, and what of it contradicts POSIX. */
static atomic_int ints, terms, usr1s, child_signals, reaped, wrong_child, wrong_queue;
static atomic_int queued[QUEUES], last_value[QUEUES];
static atomic_int blocks_wanted, blocks_made;
static pthread_t receiver;

static struct ticker {
    clockid_t clock;
    int signal;
    timer_t timer;
    long long start_ns, seen_ns, expirations;
    atomic_llong deliveries, wrong;
} tickers[TIMERS] = {
    {.clock = CLOCK_MONOTONIC, .signal = SIGALRM},
    {.clock = CLOCK_PROCESS_CPUTIME_ID, .signal = SIGPROF},
};

static long long now_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (long long)now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* Deliveries and overruns together are all expirations between the start and the moment in which
 * the kernel gave us the signal. That lies after the last run of this handler, and before now.
 */
static void on_tick(int number, siginfo_t *info, void *context)
{
    struct ticker *ticker = &tickers[number == SIGPROF];
    long long now = now_ns(ticker->clock);

    (void)context;
    ticker->deliveries++;
    ticker->expirations += 1 + info->si_overrun;
    if (ticker->expirations < (ticker->seen_ns - ticker->start_ns) / PERIOD_NS + 1 ||
        ticker->expirations > (now - ticker->start_ns) / PERIOD_NS + 1)
        ticker->wrong++;
    ticker->seen_ns = now;
}

static void start(struct ticker *ticker)
{
    struct sigaction action = {.sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = ticker->signal};
    struct itimerspec times = {.it_interval.tv_nsec = PERIOD_NS};

    sigaction(ticker->signal, &action, NULL);
    timer_create(ticker->clock, &event, &ticker->timer);
    ticker->start_ns = ticker->seen_ns = now_ns(ticker->clock) + PERIOD_NS;
    times.it_value.tv_sec = ticker->start_ns / SECOND_NS;
    times.it_value.tv_nsec = ticker->start_ns % SECOND_NS;
    timer_settime(ticker->timer, TIMER_ABSTIME, &times, NULL);
}

static void on_queued(int number, siginfo_t *info, void *context)
{
    int queue = number - SIGRTMIN;

    (void)context;
    queued[queue]++;
    last_value[queue]++;
    wrong_queue += info->si_code != SI_QUEUE || info->si_value.sival_int != last_value[queue];
}

static void on_child(int number, siginfo_t *info, void *context)
{
    int status;

    (void)number, (void)context;
    child_signals++;
    wrong_child += info->si_code != CLD_EXITED;
    while (waitpid(-1, &status, WNOHANG) > 0) {
        wrong_child += status != 0;
        reaped++;
    }
}

static void on_prompted(int number)
{
    ++*(number == SIGINT ? &ints : number == SIGTERM ? &terms : &usr1s);
}

static void allow(sigset_t signals)
{
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

static __attribute__((noinline)) void churn(void)
{
    void *volatile block = malloc(100);
    free(block);
}

/* The thread that has the timers: they interrupt the allocator wherever it may be. */
static void *work(void *unused)
{
    sigset_t ticks;

    (void)unused;
    sigemptyset(&ticks);
    for (int i = 0; i < TIMERS; i++) {
        sigaddset(&ticks, tickers[i].signal);
        start(&tickers[i]);
    }
    allow(ticks);
    for (;;) {
        if (blocks_made < blocks_wanted) {
            churn();
            blocks_made++;
        }
    }
    return NULL;
}

static void *receive(void *handlers)
{
    sigset_t signals = *(sigset_t *)handlers;

    allow(signals);
    for (;;)
        pause();
    return NULL;
}

static void *await(void *signals)
{
    int number;

    for (;;)
        if (sigwait(signals, &number) == 0)
            on_prompted(number);
    return NULL;
}

static void *read_signals(void *signals)
{
    struct signalfd_siginfo info;
    int file = signalfd(-1, signals, SFD_CLOEXEC);

    for (;;)
        if (read(file, &info, sizeof info) == sizeof info)
            on_prompted((int)info.ssi_signo);
    return NULL;
}

static void *send_from_thread(void *count)
{
    for (union sigval value = {.sival_int = 1}; value.sival_int <= *(int *)count; value.sival_int++)
        while (pthread_sigqueue(receiver, SIGRTMIN + 1, value) != 0)
            sched_yield();                                      /* the queue is full */
    return NULL;
}

static void send_from_process(int count)
{
    if (fork() != 0)
        return;
    for (union sigval value = {.sival_int = 1}; value.sival_int <= count; value.sival_int++)
        while (sigqueue(getppid(), SIGRTMIN, value) != 0)
            sched_yield();
    _exit(0);
}

static void *go(void *count)
{
    int children = *(int *)count, reaped_before = reaped;
    pthread_t sender;

    last_value[0] = last_value[1] = 0;
    blocks_wanted += children;
    pthread_create(&sender, NULL, send_from_thread, count);
    send_from_process(children);
    for (int i = 1; i <= children; i++) {
        while (reaped - reaped_before < i)      /* one at a time: SIGCHLD is not to coalesce */
            sched_yield();
        if (i < children && fork() == 0)
            _exit(0);
    }
    pthread_join(sender, NULL);
    return NULL;
}

static void print_counts(void)
{
    printf("{\"SIGINT\": %d, \"SIGTERM\": %d, \"SIGUSR1\": %d, \"from a process\": %d, "
           "\"from a thread\": %d, \"SIGCHLD\": %d, \"children\": %d, \"blocks\": %d, "
           "\"SIGALRM\": %lld, \"SIGPROF\": %lld, "
           "\"wrong\": {\"SIGALRM\": %lld, \"SIGPROF\": %lld, \"queued\": %d, \"SIGCHLD\": %d}}\n",
           ints, terms, usr1s, queued[0], queued[1], child_signals, reaped, blocks_made,
           tickers[0].deliveries, tickers[1].deliveries, tickers[0].wrong, tickers[1].wrong,
           wrong_queue, wrong_child);
}

int main(int count, char **arguments)
{
    static sigset_t all, prompted, handlers;
    static int number;
    const char *how = count > 1 ? arguments[1] : "handler";
    struct sigaction on_signal = {.sa_handler = on_prompted, .sa_flags = SA_RESTART};
    struct sigaction on_value = {.sa_sigaction = on_queued, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigaction on_exit_of_child = {.sa_sigaction = on_child,
                                         .sa_flags = SA_SIGINFO | SA_RESTART};
    char line[64];
    pthread_t thread;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);

    sigemptyset(&prompted);
    sigaddset(&prompted, SIGINT), sigaddset(&prompted, SIGTERM), sigaddset(&prompted, SIGUSR1);
    sigemptyset(&handlers);
    sigaddset(&handlers, SIGCHLD), sigaction(SIGCHLD, &on_exit_of_child, NULL);
    for (int i = 0; i < QUEUES; i++)
        sigaddset(&handlers, SIGRTMIN + i), sigaction(SIGRTMIN + i, &on_value, NULL);
    if (strcmp(how, "sigwait") == 0) {
        pthread_create(&thread, NULL, await, &prompted);
    } else if (strcmp(how, "signalfd") == 0) {
        pthread_create(&thread, NULL, read_signals, &prompted);
    } else {
        sigorset(&handlers, &handlers, &prompted);
        sigaction(SIGINT, &on_signal, NULL);
        sigaction(SIGTERM, &on_signal, NULL);
        sigaction(SIGUSR1, &on_signal, NULL);
    }
    pthread_create(&receiver, NULL, receive, &handlers);
    pthread_create(&thread, NULL, work, NULL);

    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "go %d", &number) == 1)
            pthread_create(&thread, NULL, go, &number);
        else
            print_counts();
    }
    return EXIT_SUCCESS;
}
