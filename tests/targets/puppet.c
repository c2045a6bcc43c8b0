/* Does what it is told, line by line, and nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((noinline)) static void leak(size_t bytes)
{
    void *volatile block = malloc(bytes);
    (void)block;
}

int main(void)
{
    char command[256], word[256];
    int number;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    puts("ready");
    while (fgets(command, sizeof command, stdin)) {
        if (sscanf(command, "leak %d", &number) == 1) {         /* so many blocks of 100 bytes */
            for (int i = 0; i < number; i++)
                leak(100);
            puts("leaked");
        } else if (sscanf(command, "exec %255s", word) == 1) {
            execl(word, word, (char *)NULL);
            puts("exec failed");
        } else if (sscanf(command, "exit %d", &number) == 1) {
            return number;
        } else {
            fputs(command, stdout);                             /* an echo */
        }
    }
    return EXIT_SUCCESS;
}
