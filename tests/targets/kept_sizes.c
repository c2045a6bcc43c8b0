/* Keeps blocks of known sizes: for each argument "SIZE:KEPT:FREED", in the main thread and in each of
 * THREADS others, so many blocks are kept and so many freed, half of the latter by the thread that
 * made them, and half by the main thread. Says "ready", and stays until its stdin is closed.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_THREADS = 16, MOST_SIZES = 16, MOST_FREED = 20000 };

static char **sizes;
static int size_count;
static pthread_barrier_t made, freed;
static void *given[MOST_THREADS + 1][MOST_SIZES][MOST_FREED];

static void *make(size_t size)
{
    char *block = malloc(size);
    memset(block, 0xa5, size < 64 ? size : 64);
    return block;
}

static void work(int thread)
{
    for (int number = 0; number < size_count; number++) {
        void **blocks = given[thread][number];
        size_t size;
        int kept, gone;
        sscanf(sizes[number], "%zu:%d:%d", &size, &kept, &gone);
        for (int i = 0; i < kept || i < gone; i++) {
            if (i < kept)
                make(size);
            if (i < gone)
                blocks[i] = make(size);
        }
        for (int i = 0; i < gone; i += 2) {
            free(blocks[i]);
            blocks[i] = NULL;
        }
    }
}

static void *run(void *thread)
{
    work((int)(long)thread);
    pthread_barrier_wait(&made);
    pthread_barrier_wait(&freed);
    pause();
    return NULL;
}

int main(int count, char **arguments)
{
    int threads = atoi(arguments[1]);
    char byte;
    sizes = arguments + 2;
    size_count = count - 2;
    pthread_barrier_init(&made, NULL, threads + 1);
    pthread_barrier_init(&freed, NULL, threads + 1);
    for (long thread = 1; thread <= threads; thread++) {
        pthread_t id;
        pthread_create(&id, NULL, run, (void *)thread);
    }
    work(0);
    pthread_barrier_wait(&made);
    for (int thread = 0; thread <= threads; thread++)
        for (int number = 0; number < size_count; number++)
            for (int i = 0; i < MOST_FREED; i++)
                free(given[thread][number][i]);
    pthread_barrier_wait(&freed);
    if (write(1, "ready\n", 6) == 6)
        while (read(0, &byte, 1) > 0)
            ;
    return 0;
}
