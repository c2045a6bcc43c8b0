/* A program that reads all over its memory, and waits for the memory all the time.
 *     roam BYTES
 * The memory is full of nodes that refer to each other. Prints a line every tenth of a second: the
 * clock, nodes read, seconds, and the longest time of 10,000 reads in milliseconds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { STEPS = 10000 };

struct node { /* as those of a tree, but anywhere: a quarter of the words are pointers */
    struct node *parent, *left, *right;
    uint64_t key, zero, text[3];
};

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint64_t next(uint64_t number)
{
    return number * 6364136223846793005u + 1442695040888963407u;
}

static volatile uint64_t end; /* that nothing is left out */

int main(int count, char **arguments)
{
    size_t size = count > 1 ? strtoull(arguments[1], NULL, 10) : 0, nodes = size / sizeof(struct node);
    uint64_t at = 1;
    struct node *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (!nodes || all == MAP_FAILED)
        return 2;
    for (size_t i = 0; i < nodes; i++) {
        struct node *ends[3] = {NULL, NULL, NULL};
        for (int j = 0; j < (i % 2 ? 3 : 1); j++, at = next(at))
            ends[j] = &all[(at >> 20) % nodes];
        all[i] = (struct node){ends[0], ends[1], ends[2], i, 0, {at, 0x6f6c6c6548, i}};
    }
    for (;;) {
        double began = now_s(), time = began, longest = 0, before = began;
        long steps = 0;
        for (; time - began < 0.1; before = time) {
            for (int i = 0; i < STEPS; i++) /* each read tells where the next one is */
                at = next(at + all[(at >> 20) % nodes].zero);
            end = at;
            steps += STEPS;
            time = now_s();
            longest = time - before > longest ? time - before : longest;
        }
        printf("%.6f %ld %.6f %.3f\n", time, steps, time - began, longest * 1e3);
        fflush(stdout);
    }
}
