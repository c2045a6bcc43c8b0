/* Makes processes that share its memory, each of which allocates and frees once a millisecond.
 *
 * Says "ready", then obeys a line at a time:
 *     share N   by clone(CLONE_VM), with signal N to its parent at the end; its PID
 *     fork      a child of fork, which waits; its PID
 *     spawn     a child of vfork that runs another program; "spawned"
 *     count     how often the last sharer has allocated
 *     end       the sharers and children are ended; "ended"
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STACK_BYTES = 1 << 16, MOST = 8 };

static volatile long allocated;

static int work(void *unused)
{
    const struct timespec millisecond = {0, 1000000};

    (void)unused;
    for (allocated = 0;; allocated++) {
        void *volatile block = malloc(100);
        free(block);
        nanosleep(&millisecond, NULL);
    }
    return 0;
}

int main(void)
{
    pid_t children[MOST];
    int count = 0, number;
    char command[64];

    signal(SIGUSR1, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    puts("ready");
    while (fgets(command, sizeof command, stdin)) {
        if (sscanf(command, "share %d", &number) == 1 && count < MOST) {
            char *stack = malloc(STACK_BYTES);
            children[count] = clone(work, stack + STACK_BYTES, CLONE_VM | number, NULL);
            printf("%d\n", children[count++]);
        } else if (strcmp(command, "fork\n") == 0 && count < MOST) {
            pid_t child = fork();
            for (; child == 0;)
                pause();
            printf("%d\n", child);
            children[count++] = child;
        } else if (strcmp(command, "spawn\n") == 0) {
            puts(system("true") == 0 ? "spawned" : "failed");
        } else if (strcmp(command, "end\n") == 0) {
            while (count > 0) {
                kill(children[--count], SIGKILL);
                waitpid(children[count], NULL, __WALL);
            }
            puts("ended");
        } else {
            printf("%ld\n", allocated);
        }
    }
    for (; count > 0;)
        kill(children[--count], SIGKILL);
    return EXIT_SUCCESS;
}
