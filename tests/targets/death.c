/* Leaks ten blocks of 100 bytes when it is told to, and then dies as it is told. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) static void leak(size_t bytes)
{
    void *volatile block = malloc(bytes);
    (void)block;
}

int main(void)
{
    char line[64];

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "leak\n") == 0) {
            for (int i = 0; i < 10; i++)
                leak(100);
            puts("leaked");
        } else if (strcmp(line, "null write\n") == 0) {
            *(volatile int *)NULL = 1;
        } else if (strcmp(line, "abort\n") == 0) {
            abort();
        } else if (strcmp(line, "raise\n") == 0) {
            raise(SIGTERM);
        }
    }
    return EXIT_SUCCESS;
}
