/* A server: threads wait for requests, and each request runs through the same lines, one after the
 * other. One of them leaks.
 *
 *     requests THREADS RATE first|last
 *
 * RATE requests come in a second, by the clock, however long they take. Each runs through LINES
 * lines that allocate, each a block of a size of its own: 40, 56, 72 and so on bytes, so that glibc
 * reserves no byte more. The first line or the last one forgets its block; the others are freed at
 * the end of the request. For each line that it reads, it prints how many requests were served, and
 * how long they took since the line before, in ms, from when they came in: half of them, 99 in 100,
 * and the slowest. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINES 12
/* Times are kept in units of 50 us, up to a second. */
#define UNITS 20000
#define UNIT_NS 50000

static int queue[2];
static int leaks;
static unsigned long served, counts[UNITS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void *take(size_t size)
{
    void *block = malloc(size);

    memset(block, 1, size);
    return block;
}

#define LINE(number) \
    static __attribute__((noinline)) void *line_##number(void) \
    { \
        void *block = take(40 + 16 * number); \
        __asm__ volatile("" : "+r"(block)); \
        return block; \
    }

LINE(0) LINE(1) LINE(2) LINE(3) LINE(4) LINE(5) LINE(6) LINE(7) LINE(8) LINE(9) LINE(10) LINE(11)

static void *(*const lines[LINES])(void) = {
    line_0, line_1, line_2, line_3, line_4, line_5, line_6, line_7, line_8, line_9, line_10, line_11,
};

static void serve(void)
{
    void *blocks[LINES];

    for (int i = 0; i < LINES; i++)
        blocks[i] = lines[i]();
    for (int i = 0; i < LINES; i++)
        if (i != leaks)
            free(blocks[i]);
}

static void *work(void *unused)
{
    uint64_t came_ns;

    while (read(queue[0], &came_ns, sizeof came_ns) == sizeof came_ns) {
        serve();
        uint64_t took_ns = now_ns() - came_ns;
        pthread_mutex_lock(&lock);
        served++;
        counts[took_ns / UNIT_NS < UNITS ? took_ns / UNIT_NS : UNITS - 1]++;
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

static void *come_in(void *rate)
{
    uint64_t step_ns = 1000000000 / (uint64_t)(uintptr_t)rate, next_ns = now_ns();

    for (;;) {
        uint64_t until_ns = now_ns();

        for (; next_ns <= until_ns; next_ns += step_ns)
            if (write(queue[1], &next_ns, sizeof next_ns) != sizeof next_ns)
                return NULL;
        usleep(500);
    }
}

static double find_ms(double share)
{
    unsigned long total = 0, seen = 0;
    int unit = 0;

    for (int i = 0; i < UNITS; i++)
        total += counts[i];
    while (unit < UNITS - 1 && (double)(seen += counts[unit]) < share * (double)total)
        unit++;
    return (unit + 1) * (UNIT_NS / 1e6);
}

int main(int count, char **arguments)
{
    pthread_t thread;
    char line[64];

    if (count != 4 || pipe(queue))
        return 2;
    leaks = strcmp(arguments[3], "first") == 0 ? 0 : LINES - 1;
    for (int i = 0; i < atoi(arguments[1]); i++)
        if (pthread_create(&thread, NULL, work, NULL))
            return 1;
    if (pthread_create(&thread, NULL, come_in, (void *)(uintptr_t)atoi(arguments[2])))
        return 1;
    puts("ready");
    fflush(stdout);
    while (read(0, line, sizeof line) > 0) {
        pthread_mutex_lock(&lock);
        printf("%lu %.2f %.2f %.2f\n", served, find_ms(0.5), find_ms(0.99), find_ms(1));
        memset(counts, 0, sizeof counts);
        pthread_mutex_unlock(&lock);
        fflush(stdout);
    }
    return 0;
}
