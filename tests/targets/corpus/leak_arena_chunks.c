/* An arena of chunks of a fixed size that is never freed: objects are cut from the newest chunk. Requests go
 * on beside it.
 * rate: 3000
 * growing: add_chunk
 * keeps: answer */
#include "corpus.h"

#define CHUNK 65536

struct chunk {
    struct chunk *before;
    char data[CHUNK - sizeof(struct chunk *)];
};

static struct chunk *arena;
static size_t used = CHUNK;

NOINLINE static void add_chunk(void)
{
    struct chunk *chunk = (struct chunk *)malloc(sizeof(struct chunk));
    chunk->before = arena;
    arena = chunk;
    used = 0;
}

static void *arena_allocate(size_t size)
{
    if (used + size > sizeof arena->data)
        add_chunk();
    used += size;
    return use(arena->data + used - size, size);
}

NOINLINE static void *answer(void)
{
    return use(malloc(300), 300);
}

static void start(void) {}

static void tick(long number)
{
    (void)number;
    for (int i = 0; i < 30; i++) {
        void *page = answer();
        arena_allocate(40);
        work(5);
        free(page);
    }
    done(30);
}
