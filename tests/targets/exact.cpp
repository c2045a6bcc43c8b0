// Six call sites in three threads allocate a known number of blocks of known sizes; a known part
// of them is freed, each by another thread. One round for each line on stdin, answered with the
// truth about that round as a line of JSON.
#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

enum { THREADS = 3, BLOCKS = 12, SIZE_STEP = 24 };  // blocks: of each thread at each site

struct Tally {
    int line;
    long allocated_count, allocated_bytes, freed_count, freed_bytes;
};

// Each allocates a block of `size` bytes and says at which line. Built without tail calls: the
// functions are to be on the stack.
struct Site {
    const char *name;
    void *(*allocate)(size_t size, int *line);
    void (*release)(void *);
};

static void *by_malloc(size_t size, int *line)
{
    return *line = __LINE__, malloc(size);
}

static void *by_calloc(size_t size, int *line)
{
    return *line = __LINE__, calloc(size / 8, 8);
}

static void *by_realloc(size_t size, int *line)
{
    void *block = nullptr;
    for (size_t grown = size / 4; grown <= size; grown += size / 4)
        *line = __LINE__, block = realloc(block, grown);
    return block;
}

static void *by_posix_memalign(size_t size, int *line)
{
    void *block;
    return *line = __LINE__, posix_memalign(&block, 64, size) == 0 ? block : nullptr;
}

static void *by_new(size_t size, int *line)
{
    return *line = __LINE__, new char[size];
}

static void *by_strdup(size_t size, int *line)
{
    static char text[SIZE_STEP * BLOCKS + 1];
    memset(text, 'x', sizeof text - 1);
    return *line = __LINE__, strdup(text + sizeof text - size);
}

static void release_array(void *block)
{
    delete[] static_cast<char *>(block);
}

static const Site sites[] = {
    {"malloc", by_malloc, free},
    {"calloc", by_calloc, free},
    {"realloc", by_realloc, free},
    {"posix_memalign", by_posix_memalign, free},
    {"new", by_new, release_array},
    {"strdup", by_strdup, free},
};
enum { SITES = sizeof sites / sizeof *sites };

static Tally tallies[THREADS][SITES];
static void *blocks[THREADS][SITES][BLOCKS];
static pthread_barrier_t begun, allocated, ended;

static size_t size_of(int block)
{
    return size_t(block + 1) * SIZE_STEP;
}

static void *work(void *number)
{
    const long mine = reinterpret_cast<long>(number), other = (mine + 1) % THREADS;

    for (;;) {
        pthread_barrier_wait(&begun);
        for (int block = 0; block < BLOCKS; block++)
            for (int site = 0; site < SITES; site++) {
                Tally &tally = tallies[mine][site];
                blocks[mine][site][block] = sites[site].allocate(size_of(block), &tally.line);
                tally.allocated_count++;
                tally.allocated_bytes += size_of(block);
            }
        pthread_barrier_wait(&allocated);
        for (int site = 0; site < SITES; site++)
            for (int block = 0; block < BLOCKS; block += 2 + site % 3) {
                Tally &tally = tallies[other][site];
                sites[site].release(blocks[other][site][block]);
                tally.freed_count++;
                tally.freed_bytes += size_of(block);
            }
        pthread_barrier_wait(&ended);
    }
}

static void print_truth()
{
    const char *before = "[";

    for (int site = 0; site < SITES; site++) {
        Tally sum = {};
        for (auto &tally_of_thread : tallies) {
            const Tally &tally = tally_of_thread[site];
            sum.line = tally.line;
            sum.allocated_count += tally.allocated_count;
            sum.allocated_bytes += tally.allocated_bytes;
            sum.freed_count += tally.freed_count;
            sum.freed_bytes += tally.freed_bytes;
        }
        printf("%s{\"site\": \"%s\", \"line\": %d, \"allocated_count\": %ld, "
               "\"allocated_bytes\": %ld, \"freed_count\": %ld, \"outstanding_count\": %ld, "
               "\"outstanding_bytes\": %ld}",
               before, sites[site].name, sum.line, sum.allocated_count, sum.allocated_bytes,
               sum.freed_count, sum.allocated_count - sum.freed_count,
               sum.allocated_bytes - sum.freed_bytes);
        before = ", ";
    }
    printf("]\n");
    fflush(stdout);
}

int main()
{
    char line[16];

    pthread_barrier_init(&begun, nullptr, THREADS + 1);
    pthread_barrier_init(&allocated, nullptr, THREADS);
    pthread_barrier_init(&ended, nullptr, THREADS + 1);
    for (long number = 0; number < THREADS; number++) {
        pthread_t thread;
        pthread_create(&thread, nullptr, work, reinterpret_cast<void *>(number));
    }
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        memset(tallies, 0, sizeof tallies);
        pthread_barrier_wait(&begun);
        pthread_barrier_wait(&ended);
        print_truth();
    }
}
