/* Segments are mapped, one every two seconds, and never unmapped; others are unmapped after a second.
 * window: 30
 * leak: map_segment
 * lost: map_segment
 * keeps: map_buffer */
#include "corpus.h"
#include <sys/mman.h>

#define SEGMENT (256 << 10)

static struct queue buffers;

static void *map(void)
{
    return mmap(NULL, SEGMENT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

NOINLINE static void *map_segment(void)
{
    return use(map(), 4096);
}

NOINLINE static void *map_buffer(void)
{
    return use(map(), 4096);
}

static void start(void) {}

static void tick(long number)
{
    static void *volatile last;
    if (number % 25 == 0) {
        queue_put(&buffers, map_buffer());
        if (queue_length(&buffers) > 4)
            munmap(queue_take(&buffers), SEGMENT);
    }
    if (number % (2 * HZ) == 50)
        last = map_segment();
    (void)last;
}
