/* What a program has in its heap, by its own count, and how it is told. Nothing here allocates.
 *
 * A program says "ready", and then answers lines:
 *     truth   a line of JSON; which keys it has says each program
 *     info    what malloc_info(3) tells of arenas, bins and free memory, up to "</malloc>"
 * Any other line is for the program itself. It ends when its stdin is closed.
 *
 * Sizes are those that malloc_usable_size(3) tells. What the C library allocates for itself is not
 * counted: the cache of each thread, and its table of thread-local variables.
 */
#pragma once
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SIZES = 256, THREADS_MOST = 2048, MMAPPED_MOST = 8192, MMAP_THRESHOLD = 128 << 10 };

static struct {
    size_t size;
    long in_use, freed;
} counts[SIZES];
static int sizes;
static struct {
    void *block;
    size_t size;
} mmapped[MMAPPED_MOST];
static int mmaps;
static int threads[THREADS_MOST];
static int thread_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* So many blocks of a size more or fewer are in use, and free. */
static void note(size_t size, long in_use, long freed)
{
    int i;

    pthread_mutex_lock(&lock);
    for (i = 0; i < sizes && counts[i].size != size; i++)
        ;
    if (i == SIZES)
        abort();
    if (i == sizes)
        counts[sizes++].size = size;
    counts[i].in_use += in_use;
    counts[i].freed += freed;
    pthread_mutex_unlock(&lock);
}

static void *note_block(void *block)
{
    size_t size = malloc_usable_size(block);

    if (block == NULL)
        abort();
    memset(block, 0xa5, size);
    note(size, 1, 0);
    if (size > MMAP_THRESHOLD) {
        pthread_mutex_lock(&lock);
        mmapped[mmaps].block = block;
        mmapped[mmaps++].size = size;
        pthread_mutex_unlock(&lock);
    }
    return block;
}

static inline void *take(size_t size)
{
    return note_block(malloc(size));
}

static inline void *take_aligned(size_t alignment, size_t size)
{
    return note_block(aligned_alloc(alignment, size));
}

static inline void give(void *block)
{
    note(malloc_usable_size(block), -1, 1);
    free(block);
}

static inline void note_thread(void)
{
    pthread_mutex_lock(&lock);
    threads[thread_count++] = (int)syscall(SYS_gettid);
    pthread_mutex_unlock(&lock);
}

/* The keys "in_use" and "freed", which hold numbers of blocks by their size; "mmapped", address and
 * size of blocks that have a mapping of their own; "threads", the ids of those that noted them. */
static void tell_counts(void)
{
    fputs("\"in_use\": {", stdout);
    for (int i = 0; i < sizes; i++)
        printf("%s\"%zu\": %ld", i ? ", " : "", counts[i].size, counts[i].in_use);
    fputs("}, \"freed\": {", stdout);
    for (int i = 0; i < sizes; i++)
        printf("%s\"%zu\": %ld", i ? ", " : "", counts[i].size, counts[i].freed);
    fputs("}, \"mmapped\": [", stdout);
    for (int i = 0; i < mmaps; i++)
        printf("%s[%zu, %zu]", i ? ", " : "", (size_t)mmapped[i].block, mmapped[i].size);
    fputs("], \"threads\": [", stdout);
    for (int i = 0; i < thread_count; i++)
        printf("%s%d", i ? ", " : "", threads[i]);
    fputs("]", stdout);
}

/* Call this before anything else. */
static void begin(void)
{
    static char input[4096], output[1 << 16];

    setvbuf(stdin, input, _IOFBF, sizeof input);
    setvbuf(stdout, output, _IOFBF, sizeof output);
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
}

/* Says "ready" and answers until stdin is closed.
 *
 * tell_more: writes more keys, each after a comma; may be NULL.
 * obey: obeys another line and writes an answer; may be NULL.
 */
static void serve(void (*tell_more)(void), void (*obey)(const char *))
{
    char line[256];

    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "truth") == 0) {
            putchar('{');
            tell_counts();
            if (tell_more)
                tell_more();
            puts("}");
        } else if (strcmp(line, "info") == 0) {
            malloc_info(0, stdout);
        } else if (obey) {
            obey(line);
        }
        fflush(stdout);
    }
    _exit(EXIT_SUCCESS);
}
