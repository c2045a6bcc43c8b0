/* Starts one child after the other, each of which allocates, by fork, or by vfork if there is an argument.
 * Prints for each line that it reads how many there were and how many did not end as they should. It
 * allocates much itself. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void allocate(int times)
{
    for (int i = 0; i < times; i++) {
        char *volatile block = malloc(100);
        memset(block, 1, 100);
        block = realloc(block, 300);
        free(block);
        block = calloc(3, 4);
        free(block);
    }
}

int main(int count, char **arguments)
{
    (void)arguments;
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char line[64];
    unsigned long started = 0, failed = 0;

    puts("ready");
    fflush(stdout);
    for (;;) {
        int status = 0;
        allocate(50);
        pid_t child = count > 1 ? vfork() : fork();
        if (child == 0) {
            allocate(2000);
            _exit(7);
        }
        started++;
        if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)
            || WEXITSTATUS(status) != 7)
            failed++;
        if (poll(&input, 1, 0) > 0) {
            if (read(0, line, sizeof line) <= 0)
                return 0;
            printf("%lu %lu\n", started, failed);
            fflush(stdout);
        }
    }
}
