/* Threads that allocate, fill, check and free without pause, until there is a line on stdin.
 * Then: how many blocks were worked on, and whether each still held what was put in.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, STOCK = 16 };

static atomic_bool ending;
static atomic_long rounds, damaged;

static void *work(void *seed)
{
    unsigned char *blocks[STOCK] = {NULL};
    size_t sizes[STOCK] = {0};
    uintptr_t round = (uintptr_t)seed;

    for (; !ending; round += THREADS, rounds++) {
        size_t i = round / THREADS % STOCK;

        for (size_t at = 0; at < sizes[i]; at++)
            damaged += blocks[i][at] != sizes[i] % 251;
        free(blocks[i]);
        sizes[i] = 1 + round % 1000;
        blocks[i] = malloc(sizes[i]);
        memset(blocks[i], sizes[i] % 251, sizes[i]);
    }
    for (size_t i = 0; i < STOCK; i++)
        free(blocks[i]);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    puts("ready");
    fflush(stdout);
    getchar();
    ending = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%ld blocks, %ld damaged\n", rounds, damaged);
    return damaged != 0;
}
