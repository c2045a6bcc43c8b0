/* Holds blocks and loses others, while all of its memory is looked at.
 *
 *     looked MEBIBYTES    of memory that is written once, so that a look takes its time
 *
 * "hold N" and "lose N" allocate; "drain MS" starts a thread that frees one of the blocks that are
 * held every so many milliseconds, and "left" says how many there are. "maps" starts threads that
 * map and unmap memory without pause, "forks" one that starts children, which live on until "end".
 * "exec PROGRAM" and "exit N" do that. "intact" says whether all blocks that are held are as they
 * were.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 100000, BLOCK = 100, CHILDREN = 20, MAPPERS = 3, MAPPED = 1 << 22 };

static char *held[MOST];
static atomic_int count, tick_ms;
static atomic_int children;
static pid_t child[CHILDREN];

static void rest(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

__attribute__((noinline)) static void hold(void)
{
    char *block = malloc(BLOCK);
    memset(block, 1, BLOCK);
    held[count] = block;
    count++;
}

__attribute__((noinline)) static void lose(void)
{
    void *volatile block = malloc(BLOCK);
    memset(block, 2, BLOCK);
    block = NULL;
}

static void *drain(void *unused)
{
    while (count) {
        int last = --count;
        free(held[last]);
        held[last] = NULL;
        rest(tick_ms);
    }
    return unused;
}

static void *map(void *unused)
{
    for (;;) {
        char *memory = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t at = 0; at < MAPPED; at += 4096 * 3)
            memory[at] = 1;
        munmap(memory + MAPPED / 4, MAPPED / 4);
        mprotect(memory, MAPPED / 8, PROT_NONE);
        munmap(memory, MAPPED);
    }
    return unused;
}

static void *start_children(void *unused)
{
    while (children < CHILDREN) {
        pid_t started = fork();
        if (started == 0) {
            for (;;) {
                free(malloc(BLOCK));
                rest(10);
            }
        }
        child[children] = started;
        children++;
        rest(20);
    }
    return unused;
}

static int end_children(void)
{
    int alive = 0;
    while (children < CHILDREN)
        rest(5);
    for (int number = 0; number < CHILDREN; number++) {
        alive += waitpid(child[number], NULL, WNOHANG) == 0;
        kill(child[number], SIGKILL);
        waitpid(child[number], NULL, 0);
    }
    return alive;
}

static int is_intact(void)
{
    for (int number = 0; number < count; number++)
        for (int at = 0; at < BLOCK; at++)
            if (held[number][at] != 1)
                return 0;
    return 1;
}

static void start(void *(*work)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, NULL) != 0)
        abort();
    pthread_detach(thread);
}

int main(int argc, char **argv)
{
    char command[256], word[256];
    size_t bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 0) << 20;
    int number;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (bytes) {
        char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(memory, 1, bytes);
    }
    puts("ready");
    while (fgets(command, sizeof command, stdin)) {
        if (sscanf(command, "hold %d", &number) == 1) {
            while (number--)
                hold();
        } else if (sscanf(command, "lose %d", &number) == 1) {
            while (number--)
                lose();
        } else if (sscanf(command, "drain %d", &number) == 1) {
            tick_ms = number;
            start(drain);
        } else if (strcmp(command, "left\n") == 0) {
            printf("%d left\n", count);
            continue;
        } else if (strcmp(command, "maps\n") == 0) {
            for (number = 0; number < MAPPERS; number++)
                start(map);
        } else if (strcmp(command, "forks\n") == 0) {
            start(start_children);
        } else if (strcmp(command, "end\n") == 0) {
            printf("%d children lived\n", end_children());
            continue;
        } else if (strcmp(command, "intact\n") == 0) {
            puts(is_intact() ? "intact" : "damaged");
            continue;
        } else if (sscanf(command, "exec %255s", word) == 1) {
            execl(word, word, (char *)NULL);
        } else if (sscanf(command, "exit %d", &number) == 1) {
            return number;
        }
        puts("done");
    }
    return EXIT_SUCCESS;
}
