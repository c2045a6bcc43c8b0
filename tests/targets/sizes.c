/* Takes, resizes and frees blocks of many sizes, and knows how many were of some sizes.
 *
 *     go LOW HIGH BY    the only round; BY is 1 if what was requested counts, 0 if what may be used does
 *     leak RATE         leave blocks of 20 bytes and churn others, so many a second, until the end
 */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 64, ROUNDS = 400, LEAKS_PER_S = 50 };

static struct slot { void *block; size_t size; } slots[SLOTS];
static unsigned long low, high, by_request;
static unsigned long allocations, frees;

static int counts(void *block, size_t size)
{
    size_t told = by_request ? size : malloc_usable_size(block);
    return block && low <= told && told <= high;
}

static void put(struct slot *slot, void *block, size_t size)
{
    *slot = (struct slot){block, size};
    allocations += counts(block, size);
}

static void drop(struct slot *slot)
{
    frees += counts(slot->block, slot->size);
    free(slot->block);
    slot->block = NULL;
}

static void resize(struct slot *slot, size_t size)
{
    int counted = counts(slot->block, slot->size);
    slot->block = realloc(slot->block, size);
    slot->size = size;
    int does = counts(slot->block, size);
    allocations += does && !counted;
    frees += counted && !does;
}

static void take(struct slot *slot, unsigned how, size_t size)
{
    static char text[512];
    void *block;
    switch (how % 4) {
    case 0:
        put(slot, malloc(size), size);
        break;
    case 1:
        put(slot, calloc(size, 2), 2 * size);
        break;
    case 2:
        put(slot, posix_memalign(&block, 64, size) ? NULL : block, size);
        break;
    case 3:
        memset(text, 'x', sizeof text - 1);
        put(slot, strdup(text + sizeof text - size), size);
        break;
    }
}

static void go(void)
{
    uint32_t random = 1;
    unsigned long alive = 0;
    allocations = frees = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        random = random * 1664525 + 1013904223;
        struct slot *slot = &slots[random >> 26];
        size_t size = 1 + (random >> 8) % 300;
        if (i % 3 == 0) {
            resize(slot, size);
        } else {
            drop(slot);
            take(slot, random >> 4, size);
        }
    }
    for (unsigned i = 0; i < SLOTS; i++)
        alive += counts(slots[i].block, slots[i].size);
    printf("%lu %lu %lu\n", allocations, frees, alive);
}

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

__attribute__((noinline)) static void forget_twenty(void)
{
    char *volatile block = malloc(20);
    block[0] = 1;
}

__attribute__((noinline)) static void churn(unsigned number)
{
    static void *kept[256];
    void **place = &kept[number % 256];
    free(*place);
    *place = malloc(48 + number * 37 % 900);
}

static void leak(unsigned rate)
{
    double began_s = now_s();
    unsigned churned = 0, left = 0;
    for (;;) {
        double elapsed_s = now_s() - began_s;
        for (unsigned i = 0; i < 1000 && churned < elapsed_s * rate; i++)
            churn(churned++);
        for (; left < elapsed_s * LEAKS_PER_S; left++)
            forget_twenty();
        usleep(1000);
    }
}

int main(void)
{
    char line[200];
    unsigned rate;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "leak %u", &rate) == 1) {
            puts("leaking");
            leak(rate);
        }
        if (sscanf(line, "go %lu %lu %lu", &low, &high, &by_request) != 3)
            return 2;
        go();
    }
    return 0;
}
