/* Has 2,000 blocks, and turns the array of their addresses round without pause, by memmove(3): a few
 * of the addresses are in registers only, most of the time. Nothing is lost. "ready" when it begins.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 2000 };

char **volatile ring;

int main(void)
{
    char **all = malloc(BLOCKS * sizeof *all);

    for (int i = 0; i < BLOCKS; i++)
        memset(all[i] = malloc(64 + i % 64), 1, 64);
    ring = all;
    puts("ready");
    fflush(stdout);
    for (;;) {
        char *first = all[0];

        memmove(all, all + 1, (BLOCKS - 1) * sizeof *all);
        all[BLOCKS - 1] = first;
    }
}
