/* Blocks of 20 bytes leak, so many in a second, beside other things that look busier.
 *
 *     grows_by_size LEAKS [CACHED]
 *         `leak_record` loses LEAKS blocks of 20 bytes in a second. `fill_cache` keeps ten times as
 *         many of 200 bytes, until there are CACHED of them; 30,000 unless that is said. `serve_request`
 *         allocates and frees blocks of many sizes, of 20 bytes too, 20,000 in a second.
 *
 * The truth has also "leaked" and "cached", how many blocks that is so far, "cached_most", and
 * "requests", how many blocks of each size may be in use for requests at most.
 */
#include "truth.h"
#include <stdatomic.h>
#include <time.h>

enum { LEAKED_SIZE = 20, CACHED_SIZE = 200, REQUESTS = 20000, SLOTS = 256 };

static const size_t request_sizes[] = {20, 48, 100, 200, 600, 2500};
enum { REQUEST_SIZES = sizeof request_sizes / sizeof *request_sizes };

static atomic_long leaked, cached;
static long cached_most = 30000;
static double leaks;

__attribute__((noinline)) static void leak_record(void)
{
    void *volatile record = malloc(LEAKED_SIZE);

    memset(record, 'r', LEAKED_SIZE);
    leaked++;
}

__attribute__((noinline)) static void fill_cache(void)
{
    static void **newest;
    void **entry = malloc(CACHED_SIZE);

    *entry = newest;
    newest = entry;
    cached++;
}

__attribute__((noinline)) static void serve_request(unsigned *seed)
{
    static void *slots[SLOTS];
    int slot = rand_r(seed) % SLOTS;
    size_t size = request_sizes[rand_r(seed) % REQUEST_SIZES];

    free(slots[slot]);
    slots[slot] = malloc(size);
    memset(slots[slot], 'q', size);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *work(void *unused)
{
    const struct timespec millisecond = {0, 1000000};
    double begun = now(), requests = 0;
    unsigned seed = 1;

    note_thread();
    for (;;) {
        double elapsed = now() - begun;
        while ((double)leaked < elapsed * leaks)
            leak_record();
        while (cached < cached_most && (double)cached < elapsed * leaks * 10)
            fill_cache();
        for (; requests < elapsed * REQUESTS; requests++)
            serve_request(&seed);
        nanosleep(&millisecond, NULL);
    }
    return unused;
}

static void tell_more(void)
{
    printf(", \"leaked\": %ld, \"cached\": %ld, \"cached_most\": %ld, \"requests\": %d", leaked, cached,
           cached_most, SLOTS);
}

int main(int count, char **words)
{
    pthread_t thread;

    if (count < 2)
        return 2;
    begin();
    leaks = strtod(words[1], NULL);
    if (count > 2)
        cached_most = strtol(words[2], NULL, 10);
    pthread_create(&thread, NULL, work, NULL);
    serve(tell_more, NULL);
}
