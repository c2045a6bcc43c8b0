/* Threads that end: with a cache full of freed blocks, with an empty one, and without one.
 *
 * Says "ready" once some have filled their caches, and wait. On a line from stdin these free what they
 * hold and end; then others come, allocate, free and end. Answers with how many blocks were allocated
 * since "ready", how many were freed, and how many of these were older.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { OLD = 5, NEW = 12, SIZES = 12, OF_EACH = 4, HELD = 3, HELD_BYTES = 104 };
enum { STACK_BYTES = 1 << 16 }; /* so small that no stack is given back, with a block of its own */

static pthread_attr_t small;
static pthread_barrier_t filled, called;
static int allocations[NEW], frees[NEW];
static void *volatile given;

static __attribute__((noinline)) int fill_cache(void)
{
    void *volatile blocks[SIZES * OF_EACH];

    for (size_t i = 0; i < SIZES * OF_EACH; i++)
        blocks[i] = malloc(i % SIZES * 88 + 1);
    for (size_t i = 0; i < SIZES * OF_EACH; i++)
        free(blocks[i]);
    return SIZES * OF_EACH;
}

static void *stand(void *unused)
{
    void *volatile held[HELD];

    for (int i = 0; i < HELD; i++)
        held[i] = malloc(HELD_BYTES);
    fill_cache();
    pthread_barrier_wait(&filled);
    pthread_barrier_wait(&called);
    for (int i = 0; i < HELD; i++)
        free(held[i]);
    return unused;
}

static void *come_and_go(void *argument)
{
    uintptr_t number = (uintptr_t)argument;
    void *volatile block;

    switch (number % 3) {
    case 0:
        allocations[number] = frees[number] = fill_cache();
        return NULL;
    case 1: /* its cache stays empty: the block is freed by another thread */
        allocations[number] = frees[number] = 1;
        block = malloc(HELD_BYTES);
        return block;
    default: /* what it calls first is a free: the cache begins with a block of another thread */
        free(given);
        return NULL;
    }
}

static void go(void)
{
    pthread_t thread;
    void *block;

    for (uintptr_t i = 0; i < NEW; i++) {
        if (i % 3 == 2) {
            given = malloc(HELD_BYTES);
            allocations[i] = frees[i] = 1;
        }
        pthread_create(&thread, &small, come_and_go, (void *)i);
        pthread_join(thread, &block);
        free(block);
    }
}

int main(void)
{
    static char line[80], output[80];
    pthread_t old[OLD];
    int allocated = 0, freed = 0;

    setvbuf(stdin, line, _IOFBF, sizeof line);
    setvbuf(stdout, output, _IOLBF, sizeof output);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_BYTES);
    pthread_barrier_init(&filled, NULL, OLD + 1);
    pthread_barrier_init(&called, NULL, OLD + 1);
    for (int i = 0; i < OLD; i++)
        if (pthread_create(&old[i], &small, stand, NULL) != 0)
            return EXIT_FAILURE;
    pthread_barrier_wait(&filled);
    puts("ready");
    getchar();
    pthread_barrier_wait(&called);
    for (int i = 0; i < OLD; i++)
        pthread_join(old[i], NULL);
    go();
    for (int i = 0; i < NEW; i++)
        allocated += allocations[i], freed += frees[i];
    printf("%d %d %d\n", allocated, freed + OLD * HELD, OLD * HELD);
    while (getchar() != EOF)
        ;
    return EXIT_SUCCESS;
}
