/* Blocks of which it is known how many there are of each size, in several arenas.
 *
 *     census quiet [THREADS]
 *         Blocks in use and free in every state that glibc's malloc knows, in the main arena and
 *         in those of threads, of which one more has ended. Nothing happens any more.
 *     census aligned [THREADS]
 *         The same, and blocks of aligned_alloc(3) beside; what that leaves free before and behind
 *         them is not in "freed".
 *     census scale BLOCKS SIZE [THREADS [FREED]]
 *         So many blocks of SIZE, in as many arenas as threads; every FREED-th is freed.
 *     census rate ALLOCATIONS STEADY [THREADS]
 *         STEADY blocks stay; threads allocate and free beside them, so often in a second.
 *
 * The truth has in mode "rate" also "churn": a list of size, the least number and the greatest
 * number of blocks in use, to be added to those of "in_use"; and "allocations", how many there were.
 */
#include "truth.h"
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

enum { ROWS = 8, ROW_MOST = 64, SLOTS = 64 };

/* ------------------------------------------------------------------------------------ quiet */

enum stage { FIRST, UNSORTED, LAST };

static const struct {
    size_t size;
    int number, freed;
    enum stage stage;
} rows[ROWS] = {
    {3000, 20, 10, FIRST},   /* to the large bins */
    {1300, 20, 10, FIRST},
    {700, 40, 30, FIRST},    /* the thread's cache and small bins */
    {200, 50, 40, FIRST},
    {1700, 10, 5, UNSORTED}, /* nothing is allocated after that */
    {500, 9, 5, LAST},       /* the thread's cache alone */
    {104, 60, 45, LAST},     /* the thread's cache and fast bins */
    {40, 60, 45, LAST},
};

static int is_aligned;

/* Frees what is due. No two free blocks touch, so that none is merged with another. */
static void free_rows(void *blocks[ROWS][ROW_MOST], enum stage stage)
{
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < rows[row].freed && rows[row].stage == stage; i++)
            give(blocks[row][i]);
}

static void fill(void)
{
    void *blocks[ROWS][ROW_MOST], *volatile first = malloc(24);

    free(first); /* since 2.42 a thread has its cache from its first free on */
    take(24);
    take(24); /* the cache of a thread that ends becomes free: it shall touch no free block */
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < rows[row].number; i++) {
            blocks[row][i] = take(rows[row].size);
            take(24);
        }
    for (int i = 0; i < 3; i++)
        take(300000);
    if (is_aligned) {
        for (int i = 0; i < 5; i++)
            take_aligned(64 << 2 * (i % 3), 110);
        take_aligned(1 << 16, 400000);
    }
    free_rows(blocks, FIRST);
    take(60000); /* what was freed goes where it belongs */
    free_rows(blocks, UNSORTED);
    free_rows(blocks, LAST);
}

static pthread_barrier_t done, begun;

/* Its arena is nobody else's, since the others have theirs before it ends. */
static void *fill_and_go(void *unused)
{
    fill();
    pthread_barrier_wait(&begun);
    return unused;
}

static void *fill_and_stay(void *unused)
{
    note_thread();
    fill();
    pthread_barrier_wait(&begun);
    pthread_barrier_wait(&done);
    for (;;)
        pause();
    return unused;
}

/* ------------------------------------------------------------------------------------ scale */

static size_t scale_blocks, scale_size, scale_freed;

static void *scale(void *unused)
{
    void **last = NULL;
    size_t freed = 0, usable = 0;

    note_thread();
    for (size_t i = 0; i < scale_blocks; i++) {
        void **block = malloc(scale_size);
        if (block == NULL)
            abort();
        usable = malloc_usable_size(block);
        memset(block, 0xa5, usable);
        *block = last; /* all refer to one another */
        last = block;
    }
    if (scale_freed)
        for (size_t i = 1; last && *last; i++) {
            void **next = *last;
            if (i % scale_freed == 0) {
                *last = *next;
                free(next);
                freed++;
            } else
                last = next;
        }
    note(usable, (long)(scale_blocks - freed), (long)freed);
    pthread_barrier_wait(&done);
    for (;;)
        pause();
    return unused;
}

/* ------------------------------------------------------------------------------------ rate */

static const size_t steady_sizes[] = {24, 40, 72, 136, 392, 1000};
static const size_t churn_sizes[] = {24, 56, 104, 200, 1000, 3000, 9000};
enum { STEADY_SIZES = sizeof steady_sizes / sizeof *steady_sizes,
       CHURN_SIZES = sizeof churn_sizes / sizeof *churn_sizes };

static double rate;
static size_t steady;
static int churners;
static void *_Atomic slots[CHURN_SIZES][SLOTS];
static size_t churn_usable[CHURN_SIZES];
static atomic_long allocations;

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *churn(void *seed_of_thread)
{
    const struct timespec millisecond = {0, 1000000};
    unsigned seed = (unsigned)(uintptr_t)seed_of_thread;
    double begun, made = 0;

    note_thread();
    for (size_t i = 0; i < steady; i++)
        take(steady_sizes[i % STEADY_SIZES]);
    pthread_barrier_wait(&done);
    for (begun = now();;) {
        double due = (now() - begun) * rate;
        for (; made < due; made++) {
            unsigned size = rand_r(&seed) % CHURN_SIZES;
            void *block = malloc(churn_sizes[size]);
            memset(block, 0x5a, churn_sizes[size]);
            /* Often another thread frees what this one allocated. */
            free(atomic_exchange(&slots[size][rand_r(&seed) % SLOTS], block));
            allocations++;
        }
        nanosleep(&millisecond, NULL);
    }
    return NULL;
}

static void tell_churn(void)
{
    printf(", \"allocations\": %ld, \"churn\": [", allocations);
    for (int i = 0; i < CHURN_SIZES; i++)
        printf("%s[%zu, %d, %d]", i ? ", " : "", churn_usable[i], SLOTS, SLOTS + churners);
    putchar(']');
}

/* ------------------------------------------------------------------------------------ main */

static void start(int number, void *(*work)(void *))
{
    pthread_t thread;

    pthread_barrier_init(&done, NULL, (unsigned)number + 1);
    for (int i = 0; i < number; i++)
        pthread_create(&thread, NULL, work, (void *)(uintptr_t)(i + 1));
}

int main(int count, char **words)
{
    const char *mode = count > 1 ? words[1] : "quiet";
    unsigned long numbers[4] = {0};
    pthread_t thread;

    for (int i = 0; i < 4 && i + 2 < count; i++)
        numbers[i] = strtoul(words[i + 2], NULL, 10);
    begin();
    is_aligned = strcmp(mode, "aligned") == 0;
    if (strcmp(mode, "quiet") == 0 || is_aligned) {
        int number = count > 2 ? (int)numbers[0] : 3;
        pthread_barrier_init(&begun, NULL, (unsigned)number + 2);
        pthread_create(&thread, NULL, fill_and_go, NULL);
        start(number, fill_and_stay);
        fill();
        pthread_barrier_wait(&begun);
        pthread_join(thread, NULL);
        pthread_barrier_wait(&done);
        serve(NULL, NULL);
    } else if (strcmp(mode, "scale") == 0) {
        int number = numbers[2] ? (int)numbers[2] : 1;
        scale_blocks = numbers[0] / (unsigned)number;
        scale_size = numbers[1];
        scale_freed = numbers[3];
        start(number, scale);
        pthread_barrier_wait(&done);
        serve(NULL, NULL);
    } else if (strcmp(mode, "rate") == 0) {
        churners = numbers[2] ? (int)numbers[2] : 4;
        rate = (double)numbers[0] / churners;
        steady = numbers[1] / (unsigned)churners;
        for (int size = 0; size < CHURN_SIZES; size++)
            for (int i = 0; i < SLOTS; i++) {
                slots[size][i] = malloc(churn_sizes[size]);
                churn_usable[size] = malloc_usable_size(slots[size][i]);
            }
        start(churners, churn);
        pthread_barrier_wait(&done);
        serve(tell_churn, NULL);
    }
    return 2;
}
