/* A heap that is large and nearly empty: small blocks, of which nearly all were freed.
 *
 *     fragmented HOW MEGABYTES [WHERE [SIZE]]
 *         "pinned":    all but the last block, which keeps the heap from shrinking.
 *         "scattered": all but one in each page, so that no page is free.
 *         "leaked":    none at all: the same memory, all of it in use.
 *         In the main arena, or in that of a thread: WHERE is "main" or "thread". Blocks of SIZE;
 *         those of 104, which is the default, wait in fast bins, so far as glibc has these. Larger
 *         ones are merged.
 *
 * The truth tells of free blocks by "freed_bytes", in whole chunks; "last" is the address of the
 * last block in use, and "resident" what is in memory of the process, in bytes. On the
 * line "trim" it calls malloc_trim(3), and says by how many bytes its resident memory has shrunk.
 */
#include "truth.h"
#include <fcntl.h>

enum { PAGE = 4096 };

static size_t wanted, size = 104, freed_bytes;
static char how;
static void *last_block;
static pthread_barrier_t done;

static long resident(void)
{
    char text[128] = "";
    long all, pages = 0;
    int file = open("/proc/self/statm", O_RDONLY);

    if (read(file, text, sizeof text - 1) > 0)
        sscanf(text, "%ld %ld", &all, &pages);
    close(file);
    return pages * PAGE;
}

static void fill(void)
{
    void **block, **first = NULL, **newest = NULL;
    size_t chunk = (size + 8 + 15) & ~(size_t)15, page = 0;
    long number = (long)(wanted / chunk), freed = 0;

    for (long i = 0; i < number; i++) {
        block = malloc(size);
        if (block == NULL)
            abort();
        memset(block, 0xa5, size);
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
    note(malloc_usable_size(newest), number - freed, 0);
    freed_bytes = (size_t)freed * chunk;
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
    printf(", \"freed_bytes\": %zu, \"last\": %zu, \"resident\": %ld", freed_bytes, (size_t)last_block,
           resident());
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
    if (count > 4)
        size = strtoul(words[4], NULL, 10);
    if (count < 4 || *words[3] == 'm') {
        fill();
    } else {
        pthread_barrier_init(&done, NULL, 2);
        pthread_create(&thread, NULL, fill_and_stay, NULL);
        pthread_barrier_wait(&done);
    }
    serve(tell_more, trim);
}
