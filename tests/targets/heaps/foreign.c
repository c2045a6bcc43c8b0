/* A main arena that is not one piece, since somebody else uses the same memory.
 *
 *     foreign sbrk     moves the break itself, again and again, between blocks.
 *     foreign early    moves the break before the first block, by 10,000 bytes.
 *     foreign blocked  maps a page behind the heap, so that it goes on in mappings.
 *     foreign shrinks  frees the upper half of its heap, which then is given back.
 *
 * The truth has also "foreign": how many bytes somebody else has taken.
 */
#define _GNU_SOURCE
#include "truth.h"
#include <stdint.h>
#include <sys/mman.h>

enum { BLOCKS = 20000, PAGE = 4096 };

static size_t foreign;

static void *move(intptr_t bytes)
{
    char *start = sbrk(bytes);

    memset(start, 0xee, (size_t)bytes);
    foreign += (size_t)bytes;
    return start;
}

static void take_all(void)
{
    for (int i = 0; i < BLOCKS; i++)
        take(24 + (size_t)(i % 5) * 100);
}

static void move_between(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        take(24 + (size_t)(i % 5) * 100);
        if (i % 2000 == 1999)
            move(i % 4000 == 1999 ? 3 * PAGE : 5008);
    }
}

static void block(void)
{
    uintptr_t end;

    take(1000);
    end = ((uintptr_t)sbrk(0) + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    if (mmap((void *)end, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
        MAP_FAILED)
        abort();
    take_all();
}

static void shrink(void)
{
    static void *blocks[BLOCKS];

    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = take(2000); /* too large for the cache of a thread */
    for (int i = BLOCKS; i > BLOCKS / 2;)
        give(blocks[--i]);
}

static void tell_more(void)
{
    printf(", \"foreign\": %zu", foreign);
}

int main(int count, char **words)
{
    const char *how = count > 1 ? words[1] : "";

    if (strcmp(how, "early") == 0)
        move(10000);
    begin();
    if (strcmp(how, "sbrk") == 0)
        move_between();
    else if (strcmp(how, "blocked") == 0)
        block();
    else if (strcmp(how, "shrinks") == 0)
        shrink();
    else if (strcmp(how, "early") == 0)
        take_all();
    else
        return 2;
    serve(tell_more, NULL);
}
