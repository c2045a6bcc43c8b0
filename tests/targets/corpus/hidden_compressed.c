/* Entries expire after a minute. Who refers to them does so by 32 bits, the offset to where the heap begins: no
 * search finds that, and each looks lost.
 * rate: 300
 * keeps: remember
 * keeps: answer */
#include "corpus.h"
#include <stdint.h>

#define ENTRIES (60 * HZ)

static char *heap;
static uint32_t offsets[ENTRIES];

NOINLINE static void *remember(void)
{
    return use(malloc(144), 144);
}

NOINLINE static void *answer(void)
{
    return use(malloc(300), 300);
}

static void start(void)
{
    heap = (char *)malloc(1);
    for (int i = 0; i < ENTRIES; i++)
        offsets[i] = (uint32_t)(((char *)remember() - heap) / 16);
}

static void tick(long number)
{
    void *page = answer();
    free(heap + (long)offsets[number % ENTRIES] * 16);
    offsets[number % ENTRIES] = (uint32_t)(((char *)remember() - heap) / 16);
    work(10);
    free(page);
}
