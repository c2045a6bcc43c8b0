/* Sixteen threads that allocate, fill, check and free without pause, until there is a line on stdin. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 16 };

static atomic_bool ending;
static atomic_long damaged;

static void *work(void *argument)
{
    for (size_t size = 1; !ending; size = 1 + (size + 97) % 1000) {
        unsigned char *block = malloc(size);

        memset(block, (int)size & 0xff, size);
        damaged += block[size / 2] != (size & 0xff);
        free(block);
    }
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    puts("ready");
    fflush(stdout);
    getchar();
    ending = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%ld damaged\n", damaged);
    return damaged != 0;
}
