/* Sends itself SIGTRAP, in each way there is, and counts how many come.

   Says "ready", then for each line how many it has sent since the last, and how many came. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile sig_atomic_t got;

static void count(int number)
{
    (void)number;
    got++;
}

int main(void)
{
    char command[256];

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    signal(SIGTRAP, count);
    puts("ready");
    while (fgets(command, sizeof command, stdin)) {
        int sent = 0;
        got = 0;
        for (int round = 0; round < 20; round++) {
            void *volatile block = malloc(100);
            free(block);
            raise(SIGTRAP);
            kill(getpid(), SIGTRAP);
            __asm__ volatile("int3");
            sent += 3;
        }
        printf("%d %d\n", sent, (int)got);
    }
    return EXIT_SUCCESS;
}
