/* Threads with arenas and stacks, some of which have ended; large blocks; and every other kind of
 * mapping that a process has.
 *
 *     many_arenas THREADS ENDED LARGE [FORGOTTEN]
 *         THREADS wait, each with an arena as far as glibc gives it one; ENDED more have ended at
 *         the same time, and glibc keeps their stacks; LARGE blocks of 60 MB, of which the first is
 *         touched. FORGOTTEN threads more have ended, but were not joined. The threads that wait are
 *         called "worker-0" and so on.
 *
 * The truth has also:
 *     "stacks"    [thread, start, end] of those that wait, without the guard
 *     "kept"      the same of those that have ended
 *     "forgotten" the same of those that were not joined
 *     "guard"     how many bytes below each of them nobody may access
 *     "places"    [start, end] of mappings of other kinds, by a name
 * It obeys lines:
 *     grow BYTES  allocates that in the main arena and writes to it, in blocks of 1,000 bytes; "done"
 *     fork        makes a child, which waits until this process has ended; its PID
 */
#define _GNU_SOURCE
#include "truth.h"
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d61
#define PR_SET_VMA_ANON_NAME 0
#endif

enum { LARGE_BYTES = 60000000, PAGE = 4096, PLACES = 16 };
enum { READ_WRITE = PROT_READ | PROT_WRITE, OWN = MAP_PRIVATE | MAP_ANONYMOUS };

struct stack {
    int thread;
    size_t start, end, guard;
};
struct stacks {
    struct stack list[THREADS_MOST];
    int count;
};
static struct stacks waiting, kept, forgotten;
static struct {
    const char *name;
    size_t start, size;
} places[PLACES];
static int place_count;
static pthread_barrier_t done;

static struct stack own_stack(void)
{
    pthread_attr_t attributes;
    void *start;
    size_t size, guard;

    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &start, &size);
    pthread_attr_getguardsize(&attributes, &guard);
    pthread_attr_destroy(&attributes);
    return (struct stack){(int)syscall(SYS_gettid), (size_t)start, (size_t)start + size, guard};
}

static void note_stack(struct stacks *stacks)
{
    struct stack own = own_stack();

    pthread_mutex_lock(&lock);
    stacks->list[stacks->count++] = own;
    pthread_mutex_unlock(&lock);
}

static void *work(void *number)
{
    char name[16];
    char deep[100000];

    memset(deep, 1, sizeof deep);
    __asm__ volatile("" : : "r"(deep) : "memory");
    snprintf(name, sizeof name, "worker-%d", (int)(uintptr_t)number);
    prctl(PR_SET_NAME, name);
    for (int i = 0; i < 100; i++)
        take(1000);
    note_stack(&waiting);
    note_thread();
    pthread_barrier_wait(&done);
    for (;;)
        pause();
    return NULL;
}

static void *work_and_go(void *list)
{
    take(1000);
    note_stack(list);
    pthread_barrier_wait(&done);
    return NULL;
}

/* Joins nobody, but waits until they have ended. */
static void wait_for(const struct stacks *threads)
{
    for (int i = 0; i < threads->count; i++)
        while (syscall(SYS_tgkill, getpid(), threads->list[i].thread, 0) == 0)
            sched_yield();
}

static void place(const char *name, void *start, size_t size, int is_written)
{
    if (start == MAP_FAILED)
        return; /* not on this kernel */
    if (is_written)
        memset(start, 1, size / 2);
    places[place_count].name = name;
    places[place_count].start = (size_t)start;
    places[place_count++].size = size;
}

/* Nothing that is mapped touches it, so that it is a mapping of its own for the kernel. */
static char *map_alone(size_t size, int protection, int flags)
{
    char *start = mmap(NULL, size + 2 * PAGE, PROT_NONE, OWN, -1, 0);

    return mmap(start + PAGE, size, protection, flags | MAP_FIXED, -1, 0);
}

static void map_places(void)
{
    size_t size = 1 << 20;
    int file = memfd_create("frames", 0);
    char *named = map_alone(size, READ_WRITE, OWN);
    char *huge = map_alone(8 << 20, READ_WRITE, OWN);
    int segment = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);

    if (ftruncate(file, (off_t)size) == 0)
        place("memfd", mmap(NULL, size, READ_WRITE, MAP_SHARED, file, 0), size, 1);
    place("sysv", shmat(segment, NULL, 0), size, 1);
    shmctl(segment, IPC_RMID, NULL);
    place("shared", map_alone(size, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS), size, 1);
    place("code", map_alone(size, READ_WRITE | PROT_EXEC, OWN), size, 1);
    place("plain", map_alone(3 * size, READ_WRITE, OWN), 3 * size, 1);
    place("reserved", map_alone(64 * size, PROT_NONE, OWN | MAP_NORESERVE), 64 * size, 0);
    if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, named, size, "our cache") == 0)
        place("named", named, size, 1);
    madvise(huge, 8 << 20, MADV_HUGEPAGE);
    place("huge", huge, 8 << 20, 1);
}

static void tell_stacks(const char *name, const struct stacks *stacks)
{
    printf(", \"%s\": [", name);
    for (int i = 0; i < stacks->count; i++)
        printf("%s[%d, %zu, %zu]", i ? ", " : "", stacks->list[i].thread, stacks->list[i].start,
               stacks->list[i].end);
    putchar(']');
}

static void tell_more(void)
{
    tell_stacks("stacks", &waiting);
    tell_stacks("kept", &kept);
    tell_stacks("forgotten", &forgotten);
    printf(", \"guard\": %zu, \"places\": {", waiting.count ? waiting.list[0].guard : 0);
    for (int i = 0; i < place_count; i++)
        printf("%s\"%s\": [%zu, %zu]", i ? ", " : "", places[i].name, places[i].start,
               places[i].start + places[i].size);
    putchar('}');
}

static void make_child(void)
{
    if (fork())
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    printf("%d\n", getpid());
    fflush(stdout);
    for (;;)
        pause();
}

static void obey(const char *line)
{
    long bytes = 0;

    if (sscanf(line, "grow %ld", &bytes) == 1) {
        for (; bytes > 0; bytes -= 1008)
            take(1000);
        puts("done");
    } else if (strcmp(line, "fork") == 0) {
        make_child();
    }
}

static void start(int count, void *(*work)(void *), void *argument, pthread_t *threads)
{
    for (int i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, work, argument ? argument : (void *)(uintptr_t)i);
}

static void take_large(int count)
{
    for (int i = 0; i < count; i++) {
        void *block = malloc(LARGE_BYTES);
        size_t size = malloc_usable_size(block);
        note(size, 1, 0);
        mmapped[mmaps].block = block;
        mmapped[mmaps++].size = size;
        if (i == 0)
            memset(block, 1, size);
    }
}

int main(int count, char **words)
{
    static pthread_t threads[THREADS_MOST], joined[THREADS_MOST];
    int number = count > 1 ? atoi(words[1]) : 0, ended = count > 2 ? atoi(words[2]) : 0;
    int abandoned = count > 4 ? atoi(words[4]) : 0;

    if (count < 4)
        return 2;
    begin();
    pthread_barrier_init(&done, NULL, (unsigned)(number + ended + abandoned) + 1);
    start(number, work, NULL, threads);
    start(ended, work_and_go, &kept, joined);
    start(abandoned, work_and_go, &forgotten, threads);
    pthread_barrier_wait(&done);
    for (int i = 0; i < ended; i++)
        pthread_join(joined[i], NULL);
    wait_for(&forgotten);
    take_large(atoi(words[3]));
    map_places();
    serve(tell_more, obey);
}
