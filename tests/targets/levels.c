/* Keeps blocks of 200 bytes, has a full ring of others of 400, and allocates and frees a lot beside.
 *
 * Each tick of a millisecond it keeps KEPT more blocks from the time on at which it reads a line,
 * replaces RING of 2,000 blocks, the oldest first, and allocates and frees BUSY blocks of 64 bytes.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))

static void *volatile kept[1 << 20];
static void *ring[2000];
static size_t last, place;

NOINLINE static void keep(void)
{
    kept[last++ % (sizeof kept / sizeof *kept)] = memset(malloc(200), 'k', 200);
}

NOINLINE static void replace(void)
{
    void **old = &ring[place++ % (sizeof ring / sizeof *ring)];
    free(*old);
    *old = memset(malloc(400), 'r', 400);
}

NOINLINE static void work(void)
{
    free(memset(malloc(64), 'w', 64));
}

int main(int count, char **arguments)
{
    int each[3] = {atoi(arguments[1]), atoi(arguments[2]), atoi(arguments[3])};
    struct pollfd input = {0, POLLIN, 0};
    int keeps = 0;
    (void)count;

    for (size_t i = 0; i < sizeof ring / sizeof *ring; i++)
        replace();
    puts("ready");
    fflush(stdout);
    for (;;) {
        if (poll(&input, 1, 1) > 0) {
            char line[80];
            if (!fgets(line, sizeof line, stdin))
                return EXIT_SUCCESS;
            keeps = 1;
            puts("done");
            fflush(stdout);
        }
        for (int i = 0; keeps && i < each[0]; i++)
            keep();
        for (int i = 0; i < each[1]; i++)
            replace();
        for (int i = 0; i < each[2]; i++)
            work();
    }
}
