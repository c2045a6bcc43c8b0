/* 20 sites that allocate all the time, and free what they have allocated a little later. One of them,
 * site_13, forgets a block now and then.
 *
 *     twenty_sites LIVE WORK RARELY
 *
 * Each site holds LIVE blocks. Between two allocations the thread works, for WORK rounds of a loop.
 * site_13 forgets one of RARELY blocks. For each line that it reads, it prints how many blocks were
 * allocated and forgotten so far. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SITES 20
#define MOST 4096

static volatile unsigned long allocated, forgotten;
static unsigned live, work, rarely;
static unsigned long seed = 88172645463325252UL;

struct ring {
    void *blocks[MOST];
    unsigned next;
};

static struct ring rings[SITES];

static unsigned long next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void hold(int number, void *block)
{
    struct ring *ring = &rings[number];

    memset(block, number, 16);
    if (number == 13 && next_random() % rarely == 0) {
        forgotten++;
        return;
    }
    free(ring->blocks[ring->next]);
    ring->blocks[ring->next] = block;
    ring->next = (ring->next + 1) % live;
}

#define SITE(number) \
    static __attribute__((noinline)) void site_##number(void) \
    { \
        hold(number, malloc(24 + (next_random() % 8) * 16)); \
        allocated++; \
    }

SITE(0) SITE(1) SITE(2) SITE(3) SITE(4) SITE(5) SITE(6) SITE(7) SITE(8) SITE(9)
SITE(10) SITE(11) SITE(12) SITE(13) SITE(14) SITE(15) SITE(16) SITE(17) SITE(18) SITE(19)

static void (*const sites[SITES])(void) = {
    site_0,  site_1,  site_2,  site_3,  site_4,  site_5,  site_6,  site_7,  site_8,  site_9,
    site_10, site_11, site_12, site_13, site_14, site_15, site_16, site_17, site_18, site_19,
};

static void *answer(void *unused)
{
    char line[64];

    while (read(0, line, sizeof line) > 0) {
        int length = snprintf(line, sizeof line, "%lu %lu\n", allocated, forgotten);
        if (write(1, line, (size_t)length) != length)
            break;
    }
    exit(0);
    return unused;
}

int main(int count, char **arguments)
{
    pthread_t thread;

    if (count != 4)
        return 2;
    live = (unsigned)atoi(arguments[1]) % MOST;
    work = (unsigned)atoi(arguments[2]);
    rarely = (unsigned)atoi(arguments[3]);
    if (pthread_create(&thread, NULL, answer, NULL))
        return 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        sites[next_random() % SITES]();
        for (volatile unsigned round = 0; round < work; round++)
            continue;
    }
}
