/* Allocates in each way that C has, frees a part, and answers each line with the truth about that, as
 * exact.cpp does; for C libraries that have no C++ beside them.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 10, BYTES = 40 };

static int line;

static __attribute__((noinline)) void *by_malloc(void)
{
    void *volatile block = malloc(BYTES);
    return line = __LINE__ - 1, block;
}

static __attribute__((noinline)) void *by_calloc(void)
{
    void *volatile block = calloc(BYTES / 8, 8);
    return line = __LINE__ - 1, block;
}

static __attribute__((noinline)) void *by_realloc(void)
{
    void *volatile block = realloc(NULL, BYTES);
    return line = __LINE__ - 1, block;
}

static __attribute__((noinline)) void *by_posix_memalign(void)
{
    void *block;
    int failed = posix_memalign(&block, 64, BYTES);
    return line = __LINE__ - 1, failed ? NULL : block;
}

static __attribute__((noinline)) void *by_aligned_alloc(void)
{
    void *volatile block = aligned_alloc(8, BYTES);
    return line = __LINE__ - 1, block;
}

static __attribute__((noinline)) void *by_strdup(void)
{
    static char text[BYTES];
    memset(text, 'x', BYTES - 1);
    void *volatile block = strdup(text);
    return line = __LINE__ - 1, block;
}

/* What C23 has beside `free`, where the C library has it. */
extern void free_sized(void *block, size_t size) __attribute__((weak));
extern void free_aligned_sized(void *block, size_t alignment, size_t size) __attribute__((weak));

static void give_back(void *block, int number)
{
    if (number % 3 == 1 && free_sized)
        free_sized(block, BYTES);
    else if (number % 3 == 2 && free_aligned_sized)
        free_aligned_sized(block, 8, BYTES);
    else
        free(block);
}

static void *(*const ways[])(void) = {
    by_malloc, by_calloc, by_realloc, by_posix_memalign, by_aligned_alloc, by_strdup,
};

int main(void)
{
    char command[16];

    puts("ready");
    fflush(stdout);
    while (fgets(command, sizeof command, stdin)) {
        const char *before = "[";
        char truth[4096] = "";

        for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
            int freed = 0;

            for (int i = 0; i < BLOCKS; i++) {
                void *block = ways[way]();

                if (i % (2 + (int)way) == 0)
                    give_back(block, freed++);
            }
            sprintf(truth + strlen(truth),
                    "%s{\"line\": %d, \"allocated_count\": %d, \"allocated_bytes\": %d, "
                    "\"freed_count\": %d, \"outstanding_count\": %d, \"outstanding_bytes\": %d}",
                    before, line, BLOCKS, BLOCKS * BYTES, freed, BLOCKS - freed,
                    (BLOCKS - freed) * BYTES);
            before = ", ";
        }
        printf("%s]\n", truth);
        fflush(stdout);
    }
}
