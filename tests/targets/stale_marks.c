/* Leaves blocks in use that look as if they lay in the cache of a thread.
 *
 * On a line from stdin a thread fills its cache and ends. Then another is handed out the same blocks, in
 * which it writes nothing, and stays. Says "done" when it has.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SIZES = 6, STEP = 16, FIRST = 24 };

static pthread_barrier_t done;

static void *fill_and_go(void *unused)
{
    void *volatile blocks[SIZES], *volatile between;

    for (int i = 0; i < SIZES; i++) {
        blocks[i] = malloc(FIRST + i * STEP);
        between = malloc(FIRST);
    }
    for (int i = 0; i < SIZES; i++)
        free(blocks[i]);
    (void)between;
    return unused;
}

static void *take_and_stay(void *unused)
{
    void *volatile block;

    for (int i = 0; i < SIZES; i++)
        block = malloc(FIRST + i * STEP);
    (void)block;
    pthread_barrier_wait(&done);
    pause();
    return unused;
}

int main(void)
{
    static char line[80], output[80];
    pthread_t thread;

    setvbuf(stdin, line, _IOFBF, sizeof line);
    setvbuf(stdout, output, _IOLBF, sizeof output);
    pthread_barrier_init(&done, NULL, 2);
    puts("ready");
    getchar();
    pthread_create(&thread, NULL, fill_and_go, NULL);
    pthread_join(thread, NULL);
    pthread_create(&thread, NULL, take_and_stay, NULL);
    pthread_barrier_wait(&done);
    puts("done");
    while (getchar() != EOF)
        ;
    _exit(0);
}
