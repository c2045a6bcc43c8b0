/* Hands out memory of its own making: a pool with the size behind the pool, one that stores the block
 * where it is told, one that is resized, and one behind a prefix. A line `go` makes a round of them,
 * and is answered with `done`.
 */
#include <stdio.h>
#include <stdlib.h>

enum { BLOCKS = 12, ROOM = 1 << 20 };

static char room[ROOM], *next = room;

__attribute__((noinline)) void *pool_get(void *pool, size_t size)
{
    char *block = next;

    (void)pool;
    next += (size + 15) & ~15ul;
    if (next > room + ROOM)
        abort();
    return block;
}

__attribute__((noinline)) void pool_put(void *block)
{
    *(char *volatile)block = 0;
}

__attribute__((noinline)) int pool_make(size_t count, size_t size, void **result)
{
    *result = pool_get(NULL, count * size);
    return 0;
}

__attribute__((noinline)) void *pool_resize(void *block, size_t size)
{
    return size > 64 ? pool_get(NULL, size) : block;
}

__attribute__((noinline)) void *my_malloc(size_t size)
{
    return pool_get(NULL, size);
}

__attribute__((noinline)) void my_free(void *block)
{
    pool_put(block);
}

static __attribute__((noinline)) void use_get(void)
{
    for (int i = 1; i <= BLOCKS; i++) {
        void *block = pool_get(room, 10);

        if (i % 3 == 0)
            pool_put(block);
    }
}

static __attribute__((noinline)) void use_make(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        void *block;

        pool_make(3, 7, &block);
        if (i % 2 == 0)
            pool_put(block);
    }
}

static __attribute__((noinline)) void use_resize(void)
{
    pool_resize(pool_resize(pool_get(room, 32), 48), 100);
}

static __attribute__((noinline)) void use_prefix(void)
{
    my_free(my_malloc(100));
    my_malloc(200);
}

int main(void)
{
    char line[16];

    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        use_get();
        use_make();
        use_resize();
        use_prefix();
        puts("done");
        fflush(stdout);
    }
}
