/* Leaves malloc by siglongjmp at each of its instructions in turn, each time in a child of its own,
 * and counts how the children end that then allocate on. Nobody traces it. Arguments: how much to
 * allocate, and whether one thread or two are there.
 *
 * Prints how many lived, were killed by a signal, hung, and were given a block twice. */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { BLOCKS = 400, NOT_LEFT = 1, GIVEN_TWICE = 3, SECONDS = 5, AT_ONCE = 256 };

static sigjmp_buf back;
static volatile long steps, leave_at;
static volatile int inside;

static void step(int signal)
{
    (void)signal;
    if (inside && ++steps == leave_at)
        siglongjmp(back, 1);
}

static void set_stepping(int on)
{
    if (on)
        asm volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
    else
        asm volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
}

static void __attribute__((noinline)) stepped_malloc(size_t size)
{
    set_stepping(1);
    inside = 1;
    void *volatile block = malloc(size);
    inside = 0;
    set_stepping(0);
    (void)block;
}

/* Use the heap as any program does, and see whether no two blocks overlap. */
static int heap_works(void)
{
    static unsigned char *blocks[BLOCKS];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = malloc(8 + i * 13);
            memset(blocks[i], i & 0xff, 8 + i * 13);
        }
        for (int i = 0; i < BLOCKS; i++)
            for (int j = 0; j < 8 + i * 13; j++)
                if (blocks[i][j] != (i & 0xff))
                    return 0;
        for (int i = 0; i < BLOCKS; i++)
            free(blocks[i]);
    }
    return 1;
}

static void *wait_forever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

/* In a child: exit with 0, NOT_LEFT if malloc has fewer instructions, or GIVEN_TWICE; or not at all. */
static void leave(size_t size, int threads)
{
    pthread_t thread;
    struct sigaction action = {.sa_handler = step, .sa_flags = SA_NODEFER};
    sigaction(SIGTRAP, &action, NULL);
    if (threads > 1) /* with one, glibc takes no lock */
        pthread_create(&thread, NULL, wait_forever, NULL);
    void *volatile small[8];
    for (int i = 0; i < 8; i++)
        small[i] = malloc(size);
    for (int i = 0; i < 8; i++)
        free(small[i]);
    if (!sigsetjmp(back, 1)) {
        stepped_malloc(size);
        _exit(NOT_LEFT);
    }
    set_stepping(0);
    inside = 0;
    alarm(SECONDS);
    _exit(heap_works() ? 0 : GIVEN_TWICE);
}

int main(int argc, char **argv)
{
    size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 3000;
    int threads = argc > 2 ? atoi(argv[2]) : 1;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    unsigned lived = 0, killed = 0, hung = 0, twice = 0;
    for (int ended = 0; !ended;) {
        for (int i = 0; i < AT_ONCE; i++) {
            leave_at++;
            pid_t child = fork();
            if (!child)
                leave(size, threads);
        }
        for (int i = 0, status; i < AT_ONCE && wait(&status) > 0; i++) {
            int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
            ended += code == NOT_LEFT;
            lived += code == 0;
            twice += code == GIVEN_TWICE;
            hung += WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
            killed += WIFSIGNALED(status) && WTERMSIG(status) != SIGALRM;
        }
    }
    printf("%u %u %u %u\n", lived, killed, hung, twice);
    return 0;
}
