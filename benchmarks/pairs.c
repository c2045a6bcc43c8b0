/* Threads that allocate and free without pause, and watch the clock for gaps.
 *     pairs [THREADS]
 * Prints a line every tenth of a second: the clock, pairs done by all threads, seconds, and the
 * longest gap that any of them saw, in milliseconds. Ends on SIGTERM. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LINE_NS = 100 * 1000 * 1000, MAX_THREADS = 256 };

/* A cache line each, so that the threads share nothing but the allocator. */
static struct {
    _Alignas(64) atomic_long pairs;
    atomic_long longest_ns;
} seen[MAX_THREADS];
static int threads = 1;

static long now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void print_line(long began, long time)
{
    static long pairs_before;
    long pairs = 0, longest = 0;
    for (int i = 0; i < threads; i++) {
        long gap = atomic_exchange(&seen[i].longest_ns, 0);
        longest = gap > longest ? gap : longest;
        pairs += atomic_load(&seen[i].pairs);
    }
    printf("%.6f %ld %.6f %.3f\n", (double)time / 1e9, pairs - pairs_before,
           (double)(time - began) / 1e9, (double)longest / 1e6);
    fflush(stdout);
    pairs_before = pairs;
}

static void *work(void *argument)
{
    long mine = (char *)argument - (char *)NULL;
    long began = now_ns(), last = began, pairs = 0;
    for (;;) {
        void *volatile block = malloc(100);
        free(block);
        atomic_store_explicit(&seen[mine].pairs, ++pairs, memory_order_relaxed);
        long time = now_ns();
        if (time - last > atomic_load_explicit(&seen[mine].longest_ns, memory_order_relaxed))
            atomic_store_explicit(&seen[mine].longest_ns, time - last, memory_order_relaxed);
        last = time;
        if (mine == 0 && time - began >= LINE_NS) {
            print_line(began, time);
            began = time;
        }
    }
    return NULL;
}

int main(int count, char **arguments)
{
    if (count > 1)
        threads = atoi(arguments[1]);
    if (threads < 1 || threads > MAX_THREADS)
        return 2;
    for (long i = 1; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, (char *)NULL + i))
            return 1;
    }
    work(NULL);
}
