/* Blocks to which only memory refers that glibc's malloc has back, and others that are held by the
 * last word of a block before a chunk that is free. For each it says: KIND ADDRESS SIZE, the address
 * xored with KEY; then "end".
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 96, EACH = 8, WORD = 40 };   /* behind what malloc itself writes */
static const uintptr_t KEY = 0x5a5a5a5a5a5a5a5a;

static uintptr_t hidden[1024];
static const char *kinds[1024];
static int count;
static void *volatile kept[1024];   /* what holds some of them, and what keeps chunks apart */
static int keeping;
static void *volatile freed[1024];
static int freeing;
static char buffers[2][1 << 12];    /* malloc is not to be called again when all is as it shall be */

static char *make(const char *kind)
{
    char *block = malloc(BLOCK);
    memset(block, 0, BLOCK);
    hidden[count] = (uintptr_t)block ^ KEY;
    kinds[count++] = kind;
    return block;
}

static char *make_holder(const char *kind, size_t size, size_t word)
{
    char *holder = malloc(size);
    memset(holder, 0, size);
    *(char *volatile *)(holder + word) = make(kind);
    return holder;
}

__attribute__((noinline)) static void make_to_be_freed(const char *kind, size_t size, int number)
{
    while (number--) {
        freed[freeing++] = make_holder(kind, size, WORD);
        kept[keeping++] = malloc(BLOCK);
    }
}

__attribute__((noinline)) static void make_before_free(const char *kind, size_t size)
{
    for (int each = 0; each < EACH; each++) {
        char *holder = malloc(size);
        memset(holder, 0, size);
        kept[keeping++] = holder;
        freed[freeing++] = malloc(2000);
        *(char *volatile *)(holder + size - sizeof(char *)) = make(kind);
    }
}

__attribute__((noinline)) static void free_all(void)
{
    while (freeing) {
        free(freed[--freeing]);
        freed[freeing] = NULL;
    }
}

__attribute__((noinline)) static void wipe(void)
{
    volatile char room[1 << 16];
    memset((char *)room, 0, sizeof room);
}

int main(void)
{
    char line[16];

    setvbuf(stdin, buffers[0], _IOFBF, sizeof buffers[0]);
    setvbuf(stdout, buffers[1], _IOLBF, sizeof buffers[1]);
    make_to_be_freed("cached", 200, 5);     /* as many as the cache of a thread has room for */
    make_to_be_freed("fast", 72, 20);
    make_to_be_freed("binned", 3000, EACH);
    make_before_free("last word", 1000);
    free_all();
    wipe();
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        for (int number = 0; number < count; number++)
            printf("%s;%#lx;%d\n", kinds[number], (unsigned long)hidden[number], BLOCK);
        puts("end");
    }
    return EXIT_SUCCESS;
}
