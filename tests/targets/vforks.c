/* Has a thread that cannot be halted for as long as it is told, while another thread goes on.

   Says "ready", then obeys a line at a time:
       vfork N   a thread starts a child that sleeps for N seconds; "started"
       wait N    the same, but the child has a memory of its own
       read F    a thread opens a file and reads from it; "started"
       busy N    from now on the other thread allocates and frees N blocks each millisecond; "busy"
       gap       the longest time, in ms, for which the other thread has not run since the last "gap"
       leak N    N blocks of 100 bytes; "leaked" */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Atomic double longest;
static atomic_int started, busy;
static int shares;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static void *beat(void *unused)
{
    (void)unused;
    for (double before = now();;) {
        usleep(1000);
        for (int i = 0; i < busy; i++) {
            void *volatile block = malloc(100);
            free(block);
        }
        double after = now();
        if (after - before > longest)
            longest = after - before;
        before = after;
    }
    return NULL;
}

static void *fork_once(void *seconds)
{
    struct timespec sleep = {(long)seconds, 0};

    started = 1;
    pid_t child = shares ? vfork() : syscall(SYS_clone, CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, 0);
    if (child == 0) {
        nanosleep(&sleep, NULL);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    return NULL;
}

static void *read_once(void *path)
{
    char byte;
    int file = open(path, O_RDONLY);

    started = 1;
    if (read(file, &byte, 1) < 0)   /* whoever serves it has ended */
        close(file);
    return NULL;
}

int main(void)
{
    char command[256], path[256];
    int number;
    pthread_t thread;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    pthread_create(&thread, NULL, beat, NULL);
    puts("ready");
    while (fgets(command, sizeof command, stdin)) {
        shares = sscanf(command, "vfork %d", &number) == 1;
        if (shares || sscanf(command, "wait %d", &number) == 1) {
            started = 0;
            pthread_create(&thread, NULL, fork_once, (void *)(long)number);
            while (!started)
                usleep(1000);
            puts("started");
        } else if (sscanf(command, "read %255s", path) == 1) {
            started = 0;
            pthread_create(&thread, NULL, read_once, path);
            while (!started)
                usleep(1000);
            puts("started");
        } else if (sscanf(command, "busy %d", &number) == 1) {
            busy = number;
            puts("busy");
        } else if (sscanf(command, "leak %d", &number) == 1) {
            for (int i = 0; i < number; i++) {
                void *volatile block = malloc(100);
                (void)block;
            }
            puts("leaked");
        } else {
            printf("%.0f\n", longest);
            longest = 0;
        }
    }
    return EXIT_SUCCESS;
}
