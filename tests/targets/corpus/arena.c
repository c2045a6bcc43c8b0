/* An arena that frees all it has every six seconds.
 * keeps: arena_allocate */
#include "corpus.h"

static struct queue arena;

NOINLINE static void *arena_allocate(void)
{
    return use(malloc(176), 176);
}

static void start(void)
{
    for (int i = 0; i < 100; i++)
        queue_put(&arena, arena_allocate());
}

static void tick(long number)
{
    if (number % 4 == 0)
        queue_put(&arena, arena_allocate());
    if (number % (6 * HZ) == 4 * HZ)
        while (queue_length(&arena))
            queue_free(&arena);
}
