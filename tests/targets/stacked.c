/* Threads that wait on stacks of several kinds. For each it says: KIND THREAD START END, which is
 * where the thread's own stack lies.
 *
 *     stacked KIND...
 *
 *     thread       as pthread_create makes it
 *     deep         far below the beginning of its stack
 *     shallow      with a stack that is small
 *     given        with memory of ours for its stack
 *     coroutine    waits on another stack: a part of a pool, at whose end stands where the pool lies
 *     signal       waits in a signal handler, on an alternate stack
 *
 * "main" need not be asked for.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STACK = 1 << 16, STACKS = 16, DEEP = 1 << 14, MANY = 64 };

struct control {                    /* what a library of coroutines may keep of each */
    struct control *self;
    char *pool;
    size_t pool_bytes;
};

static pthread_barrier_t ready;
static volatile int is_waiting = 1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static char *map(size_t bytes)
{
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void wait_for_ever(void)
{
    if (syscall(SYS_gettid) != getpid())
        pthread_barrier_wait(&ready);
    while (is_waiting)
        pause();
}

static void handle(int number)
{
    (void)number;
    wait_for_ever();
}

__attribute__((noinline)) static void go_down(int bytes)
{
    volatile char room[DEEP];
    memset((char *)room, 1, sizeof room);
    if (bytes > 0)
        go_down(bytes - DEEP);
    else
        wait_for_ever();
    room[0] = 0;
}

static void wait_on_part_of_a_pool(void)
{
    char *pool = map(STACKS * STACK);
    struct control *control = (struct control *)(pool + 8 * STACK - 256);
    *control = (struct control){control, pool, STACKS * STACK};
    uintptr_t top = (uintptr_t)control & ~(uintptr_t)15;
    __asm__ volatile("movq %0, %%rsp\n\tcall *%1" : : "r"(top), "r"(wait_for_ever) : "memory");
    __builtin_unreachable();
}

static void *run(void *kind)
{
    pthread_attr_t attributes;
    void *start;
    size_t bytes;

    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &start, &bytes);
    pthread_mutex_lock(&lock);
    printf("%s %ld %p %p\n", (char *)kind, (long)syscall(SYS_gettid), start,
           (void *)((char *)start + bytes));
    pthread_mutex_unlock(&lock);
    if (strcmp(kind, "deep") == 0)
        go_down(4 * DEEP);
    if (strcmp(kind, "coroutine") == 0)
        wait_on_part_of_a_pool();
    if (strcmp(kind, "signal") == 0) {
        stack_t alternate = {.ss_sp = map(STACK), .ss_size = STACK};
        sigaltstack(&alternate, NULL);
        pthread_kill(pthread_self(), SIGUSR1);
    }
    wait_for_ever();
    return NULL;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK};

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    sigaction(SIGUSR1, &action, NULL);
    pthread_barrier_init(&ready, NULL, argc);
    puts("ready");
    for (int number = 1; number < argc; number++) {
        pthread_attr_t attributes;
        pthread_t thread;
        pthread_attr_init(&attributes);
        if (strcmp(argv[number], "shallow") == 0)
            pthread_attr_setstacksize(&attributes, STACK);
        if (strcmp(argv[number], "given") == 0)
            pthread_attr_setstack(&attributes, map(STACK), STACK);
        if (pthread_create(&thread, &attributes, run, argv[number]) != 0)
            abort();
    }
    pthread_barrier_wait(&ready);
    puts("main 0 0 0");
    wait_for_ever();
}
