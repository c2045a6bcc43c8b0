/* Maps memory in each way there is while another thread allocates blocks so large that malloc maps
 * them itself. A line makes a round, and is answered with `done`.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MIB = 1 << 20, ROUNDS = 20 };

static atomic_int rounds;

static void *load(void *unused)
{
    (void)unused;
    for (;;) {
        while (!rounds)
            usleep(1000);
        void *volatile block = malloc(2 * MIB);
        block = realloc(block, 5 * MIB);
        free(block);
        rounds--;
    }
    return NULL;
}

static void *reserve(size_t size, int flags, int file)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | flags, file, 0);

    if (memory == MAP_FAILED)
        abort();
    return memory;
}

static __attribute__((noinline)) void map_segments(void)
{
    for (int i = 0; i < 3; i++)
        reserve(8 * MIB, MAP_ANONYMOUS, -1);
}

static __attribute__((noinline)) void map_large_and_cut(void)
{
    char *memory = reserve(60 * MIB, MAP_ANONYMOUS, -1);

    munmap(memory + 10 * MIB, 20 * MIB);
}

static __attribute__((noinline)) void map_and_grow(void)
{
    void *memory = reserve(MIB, MAP_ANONYMOUS, -1);

    if (mremap(memory, MIB, 4 * MIB, MREMAP_MAYMOVE) == MAP_FAILED)
        abort();
}

static __attribute__((noinline)) void map_and_unmap(void)
{
    munmap(reserve(2 * MIB, MAP_ANONYMOUS, -1), 2 * MIB);
}

static __attribute__((noinline)) void map_in_vain(void)
{
    if (mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        abort();
}

static __attribute__((noinline)) void map_file(void)
{
    FILE *file = fopen("/proc/self/exe", "r");

    reserve(4096, 0, fileno(file));
    fclose(file);
}

static __attribute__((noinline)) void move_break(void)
{
    if (sbrk(3 * MIB) == (void *)-1 || sbrk(-MIB) == (void *)-1)
        abort();
}

static void *free_first(void *block)
{
    free(block);
    return NULL;
}

/* glibc makes an arena for a thread in its first call, even if that is free. */
static void let_a_new_thread_free(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, free_first, malloc(100));
    pthread_join(thread, NULL);
}

int main(void)
{
    char line[16];
    pthread_t thread;

    pthread_create(&thread, NULL, load, NULL);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        move_break();  /* alone: an allocator may move it too, and would lose its own memory */
        rounds = ROUNDS;
        map_segments();
        map_large_and_cut();
        map_and_grow();
        map_and_unmap();
        map_in_vain();
        map_file();
        let_a_new_thread_free();
        while (rounds)
            usleep(1000);
        puts("done");
        fflush(stdout);
    }
}
