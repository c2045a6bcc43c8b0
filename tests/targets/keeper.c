/* Keeps blocks and drops them again, as it is told. */
#include <stdio.h>
#include <stdlib.h>

static void *blocks[1000];
static int kept;

__attribute__((noinline)) static void keep(void)
{
    blocks[kept++] = malloc(100);
}

int main(void)
{
    static char line[64], buffer[BUFSIZ];
    int number;

    setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
    setvbuf(stdin, NULL, _IONBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "keep %d", &number) == 1) {
            for (int i = 0; i < number; i++)
                keep();
            printf("kept %d\n", number);
        } else if (sscanf(line, "drop %d", &number) == 1) {
            for (int i = 0; i < number; i++)
                free(blocks[--kept]);
            printf("dropped %d\n", number);
        }
    }
    return 0;
}
