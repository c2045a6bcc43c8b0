/* Segments are mapped four times a second, and unmapped after five seconds; large blocks come and go too.
 * window: 30
 * keeps: map_segment
 * keeps: load_page */
#include "corpus.h"
#include <sys/mman.h>

#define SEGMENT (256 << 10)

static struct queue segments;

NOINLINE static void *map_segment(void)
{
    int access = PROT_READ | PROT_WRITE, kind = MAP_PRIVATE | MAP_ANONYMOUS;
    return use(mmap(NULL, SEGMENT, access, kind, -1, 0), 4096);
}

NOINLINE static void *load_page(void)
{
    return use(malloc(300000), 4096);
}

static void start(void)
{
    for (int i = 0; i < 20; i++)
        queue_put(&segments, map_segment());
}

static void tick(long number)
{
    if (number % 10 == 0)
        free(load_page());
    if (number % 25)
        return;
    queue_put(&segments, map_segment());
    munmap(queue_take(&segments), SEGMENT);
}
