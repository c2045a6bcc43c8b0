/* Starts children in every way there is while two threads allocate, and counts what failed.
 *
 *     children            the line N starts N by fork, N by posix_spawn, N / 2 by vfork and N / 10 by
 *                         each of the rarer ways; the answer is a line of JSON
 *     children child      allocates, and exits with 0
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 2, BLOCKS_OF_A_CHILD = 100, STACK_BYTES = 1 << 16 };

static char program[4096], *as_child[] = {program, "child", NULL};
static int started, failed;
static atomic_bool working;
static atomic_int blocks;

static __attribute__((noinline)) void churn(void)
{
    void *volatile block = malloc(100);
    free(block);
}

static void *work(void *unused)
{
    (void)unused;
    while (working) {
        churn();
        blocks++;
    }
    return NULL;
}

static int run_child(void)
{
    for (int i = 0; i < BLOCKS_OF_A_CHILD; i++)
        churn();
    return EXIT_SUCCESS;
}

static void expect_success(int status)
{
    started++;
    failed += status != 0;
}

static void await(pid_t child)
{
    int status = -1;

    waitpid(child, &status, 0);
    expect_success(status);
}

static void by_fork(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(run_child());
    await(child);
}

static void by_fork_and_exec(void)
{
    pid_t child = fork();

    if (child == 0) {
        run_child();
        execv(program, as_child);
        _exit(EXIT_FAILURE);
    }
    await(child);
}

static void by_vfork(void)
{
    pid_t child = vfork();

    if (child == 0) {
        execv(program, as_child);
        _exit(EXIT_FAILURE);
    }
    await(child);
}

static void by_posix_spawn(void)
{
    pid_t child = -1;

    posix_spawn(&child, program, NULL, NULL, as_child, environ);
    await(child);
}

static void by_system(void)
{
    expect_success(system("exit 0"));
}

static int exec_child(void *unused)
{
    (void)unused;
    execv(program, as_child);
    return EXIT_FAILURE;
}

static void by_clone(void)
{
    static char stack[STACK_BYTES] __attribute__((aligned(16)));

    await(clone(exec_child, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
}

/* The grandchild has no parent to tell: it writes one byte when it has done its work. */
static void by_double_fork(void)
{
    int pipes[2];
    char byte = 0;
    pid_t child;

    if (pipe(pipes) != 0)
        exit(EXIT_FAILURE);
    child = fork();
    if (child == 0) {
        if (fork() == 0)
            _exit(run_child() != 0 || write(pipes[1], "x", 1) != 1);
        _exit(run_child());
    }
    close(pipes[1]);
    await(child);
    failed += read(pipes[0], &byte, 1) != 1;
    close(pipes[0]);
}

static void go(int count)
{
    for (int i = 0; i < count; i++) {
        by_fork();
        by_posix_spawn();
        if (i % 2 == 0)
            by_vfork();
        if (i % 10 == 0) {
            by_fork_and_exec();
            by_system();
            by_clone();
            by_double_fork();
        }
    }
}

int main(int count, char **arguments)
{
    pthread_t threads[THREADS];
    char line[64];

    if (count > 1 && strcmp(arguments[1], "child") == 0)
        return run_child();
    if (realpath("/proc/self/exe", program) == NULL)
        return EXIT_FAILURE;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        started = failed = blocks = 0;
        working = 1;
        for (int i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, work, NULL);
        go(atoi(line));
        working = 0;
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        printf("{\"started\": %d, \"failed\": %d, \"blocks\": %d}\n", started, failed, blocks);
    }
    return EXIT_SUCCESS;
}
