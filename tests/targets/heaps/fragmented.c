/* A heap that is large and nearly empty: small blocks, of which nearly all were freed.
 *
 *     fragmented HOW MEGABYTES [thread]
 *         "pinned":    all but the last block, which keeps the heap from shrinking.
 *         "scattered": all but one in each page, so that no page is free.
 *         "leaked":    none at all: the same memory, all of it in use.
 *         In the main arena, or in that of a thread.
 *
 * The truth has also "last", the address of the last block in use, and "resident", in bytes. On the
 * line "trim" it calls malloc_trim(3), and says by how many bytes its resident memory has shrunk.
 */
#include "truth.h"
#include <fcntl.h>

enum { SIZE = 104, CHUNK = 112, PAGE = 4096 };

static size_t wanted;
static char how;
static void *last_block;
static pthread_barrier_t done;

static long resident(void)
{
    char text[128] = "";
    long size, pages = 0;
    int file = open("/proc/self/statm", O_RDONLY);

    if (read(file, text, sizeof text - 1) > 0)
        sscanf(text, "%ld %ld", &size, &pages);
    close(file);
    return pages * PAGE;
}

static void fill(void)
{
    void **block, **first = NULL, **newest = NULL;
    long number = (long)(wanted / CHUNK), freed = 0;
    size_t page = 0;

    for (long i = 0; i < number; i++) {
        block = malloc(SIZE);
        if (block == NULL)
            abort();
        memset(block, 0xa5, SIZE);
        *block = NULL;
        if (newest)
            *newest = block;
        else
            first = block;
        newest = block;
    }
    for (block = first; how != 'l' && block != newest;) {
        void **next = *block;
        if (how == 'p' || (size_t)block / PAGE == page) {
            free(block);
            freed++;
        }
        page = (size_t)block / PAGE;
        block = next;
    }
    last_block = newest;
    note(SIZE, number - freed, freed);
}

static void *fill_and_stay(void *unused)
{
    note_thread();
    fill();
    pthread_barrier_wait(&done);
    for (;;)
        pause();
    return unused;
}

static void tell_more(void)
{
    printf(", \"last\": %zu, \"resident\": %ld", (size_t)last_block, resident());
}

static void trim(const char *line)
{
    long before = resident();

    (void)line;
    malloc_trim(0);
    printf("%ld\n", before - resident());
}

int main(int count, char **words)
{
    pthread_t thread;

    if (count < 3)
        return 2;
    begin();
    how = *words[1];
    wanted = strtoul(words[2], NULL, 10) << 20;
    if (count == 3) {
        fill();
    } else {
        pthread_barrier_init(&done, NULL, 2);
        pthread_create(&thread, NULL, fill_and_stay, NULL);
        pthread_barrier_wait(&done);
    }
    serve(tell_more, trim);
}
