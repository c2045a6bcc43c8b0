/* Corrupts what malloc keeps of its heap, in a way that is chosen, and then does nothing.
 *
 *     corrupt HOW
 *         "nothing":        leaves everything as it is.
 *         "cached-cycle":   blocks in a thread's cache form a ring.
 *         "cached-wild":    one of them refers to an address that is not mapped.
 *         "fast-cycle":     blocks in a fast bin form a ring; needs a glibc that has fast bins.
 *         "bin-cycle":      a free block in a bin refers to itself.
 *         "zero":           the size of a chunk in the middle is 0.
 *         "huge":           the size of a chunk in the middle is 2^60.
 *         "beyond":         the size of a chunk in the middle leads into the next page of nothing.
 *         "inside":         the size of a chunk in the middle leads into its neighbour's content.
 *         "top":            the chunk at the end says that it ends far behind the heap.
 *         "top-short":      the chunk at the end says that it ends before the heap does.
 *         "noise":          words that a random generator made lie over 64 KiB in the middle.
 *
 * The truth is what it was before that; "address" is of the word that was changed first, and
 * "before" and "behind" say how many of the blocks of 56 bytes lie on either side of it.
 */
#include "truth.h"
#include <stdint.h>

enum { BLOCKS = 4000, SIZE = 56, NOISE_BYTES = 64 << 10, PAGE_SHIFT = 12 };

static void *blocks[BLOCKS];
static uintptr_t *place;

/* What a list holds that refers to `block`: glibc mixes it with the address `at` since 2.32. */
static uintptr_t reference(const uintptr_t *at, const void *block, uintptr_t sample,
                           const uintptr_t *sample_at, const void *sample_block)
{
    int is_mixed = sample != (uintptr_t)sample_block;

    if (is_mixed && (sample ^ (uintptr_t)sample_at >> PAGE_SHIFT) != (uintptr_t)sample_block)
        abort();
    return is_mixed ? (uintptr_t)block ^ (uintptr_t)at >> PAGE_SHIFT : (uintptr_t)block;
}

/* Lets the oldest of a list refer to the newest. In fast bins, lists refer to chunks, not blocks. */
static void close_ring(void **list, int count, size_t header)
{
    char *before = (char *)list[count - 2] - header, *newest = (char *)list[count - 1] - header;

    place = list[0];
    *place = reference(place, newest, *(uintptr_t *)list[count - 1], list[count - 1], before);
}

static void make_ring(int is_fast)
{
    enum { MOST = 40 };
    void *list[MOST];
    int count = is_fast ? MOST : 5, first = 0;

    for (int i = 0; i < count; i++) {
        list[i] = take(SIZE + 16);
        take(24);
    }
    for (int i = 0; i < count; i++)
        give(list[i]);
    if (is_fast)
        first = 20; /* those before are in the thread's cache */
    close_ring(list + first, count - first, is_fast ? 16 : 0);
}

static void corrupt(const char *how)
{
    static void *pair[2];
    uintptr_t *middle = (uintptr_t *)blocks[BLOCKS / 2] - 1, *end;

    place = middle;
    if (strcmp(how, "cached-cycle") == 0) {
        make_ring(0);
    } else if (strcmp(how, "fast-cycle") == 0) {
        make_ring(1);
    } else if (strcmp(how, "cached-wild") == 0) {
        make_ring(0);
        *place = 0x123456789abc0;
    } else if (strcmp(how, "bin-cycle") == 0) {
        for (int i = 0; i < 2; i++) {
            pair[i] = take(3000);
            take(24);
        }
        give(pair[0]);
        give(pair[1]);
        place = pair[0];
        place[0] = place[1] = (uintptr_t)(place - 2);
    } else if (strcmp(how, "zero") == 0) {
        *middle = 1;
    } else if (strcmp(how, "huge") == 0) {
        *middle = (uintptr_t)1 << 60 | 1;
    } else if (strcmp(how, "beyond") == 0) {
        *middle = (uintptr_t)64 << 20 | 1;
    } else if (strcmp(how, "inside") == 0) {
        *middle = 0x30 | 1;
    } else if (strncmp(how, "top", 3) == 0) {
        end = take(40);
        place = (uintptr_t *)((char *)end + malloc_usable_size(end) - 8) + 1;
        *place = strcmp(how, "top") == 0 ? (uintptr_t)1 << 40 | 1 : 0x31;
    } else if (strcmp(how, "noise") == 0) {
        uintptr_t word = 88172645463325252ul;
        for (size_t i = 0; i < NOISE_BYTES / sizeof *middle; i++) {
            word ^= word << 13, word ^= word >> 7, word ^= word << 17;
            middle[i] = word;
        }
    } else if (strcmp(how, "nothing") != 0) {
        exit(2);
    }
}

static void tell_more(void)
{
    int before = 0;

    for (int i = 0; i < BLOCKS; i++)
        before += (uintptr_t)blocks[i] < (uintptr_t)place;
    printf(", \"address\": %zu, \"before\": %d, \"behind\": %d", (size_t)place, before,
           BLOCKS - before);
}

int main(int count, char **words)
{
    if (count != 2)
        return 2;
    begin();
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = take(SIZE);
    corrupt(words[1]);
    serve(tell_more, NULL);
}
