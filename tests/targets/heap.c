/* Brings blocks into every state that glibc's malloc knows, and tells which are in use.
 *
 * "still": says "ready", then a line "used ADDRESS" or "freed ADDRESS" for what was done last at each
 * address, in order, then "end", and stands still until its stdin is closed.
 * "churn": the same of blocks that stay in use, while other threads allocate, resize, fill and free
 * without end.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 3, EVENTS = 1 << 20, MANY = 4000, FREED = 1 };

static uintptr_t events[EVENTS];
static atomic_uint count;
static pthread_barrier_t done;
static char output[1 << 16];

static void note(void *block, int freed)
{
    events[atomic_fetch_add(&count, 1)] = (uintptr_t)block | freed;
}

static void *take(size_t size)
{
    void *block = malloc(size);
    memset(block, 0xa5, size);
    note(block, 0);
    return block;
}

static void give(void *block)
{
    note(block, FREED);
    free(block);
}

/* Blocks of one size, of which `run` of every `run + 1` are freed. */
static void alternate(size_t size, int number, int run)
{
    void *blocks[256];
    for (int i = 0; i < number; i++)
        blocks[i] = take(size);
    for (int i = 0; i < number; i++)
        if (i % (run + 1))
            give(blocks[i]);
}

static void fill(unsigned seed)
{
    for (size_t size = 24; size <= 1032; size += 16)
        alternate(size, 14, 1); /* tcache */
    for (size_t size = 24; size <= 120; size += 16)
        alternate(size, 60, 1); /* fast bins */
    for (size_t size = 200; size < 6000; size += 136)
        alternate(size, 30, 1); /* unsorted, then small and large bins */
    for (size_t size = 1500; size < 4000; size += 480)
        alternate(size, 60, 5); /* merged with their neighbours */
    static __thread void *many[MANY];
    for (int i = 0; i < MANY; i++)
        many[i] = take(rand_r(&seed) % (i % 8 ? 400 : 8000));
    for (int i = 0; i < MANY; i++) {
        int other = rand_r(&seed) % MANY;
        void *swapped = many[i];
        many[i] = many[other];
        many[other] = swapped;
    }
    for (int i = 0; i < MANY / 2; i++)
        give(many[i]);
    for (int i = 0; i < MANY / 8; i++)
        take(rand_r(&seed) % 8000);
    alternate(300000, 20, 1); /* mapped each for itself */
    void *last[8];
    for (int i = 0; i < 8; i++)
        last[i] = take(5000);
    for (int i = 0; i < 8; i++)
        give(last[i]); /* top */
}

static void *fill_and_stay(void *seed)
{
    fill((uintptr_t)seed);
    pthread_barrier_wait(&done);
    pause();
    return NULL;
}

static void *fill_and_go(void *seed)
{
    fill((uintptr_t)seed);
    return NULL;
}

struct node {
    struct node *next;
    uintptr_t size;
};

static void *churn(void *argument)
{
    unsigned seed = (uintptr_t)argument;
    enum { SLOTS = 512 };
    static __thread void *slots[SLOTS];
    for (;;) {
        int i = rand_r(&seed) % SLOTS;
        size_t size = rand_r(&seed) % (i % 8 ? 200 : 5000) + sizeof(struct node);
        switch (rand_r(&seed) % 4) {
        case 0:
            free(slots[i]);
            slots[i] = calloc(1, size);
            break;
        case 1:
            slots[i] = realloc(slots[i], size);
            break;
        default:
            free(slots[i]);
            slots[i] = malloc(size);
        }
        /* What the lists of free blocks look like, in blocks that are in use. */
        struct node *node = slots[i];
        node->next = slots[rand_r(&seed) % SLOTS];
        node->size = (size + 8 + 15) & ~15u;
    }
    return NULL;
}

static void tell(void)
{
    unsigned told = count;
    puts("ready");
    for (unsigned i = 0; i < told; i++)
        printf("%s %lx\n", events[i] & FREED ? "freed" : "used", events[i] & ~(uintptr_t)FREED);
    puts("end");
    fflush(stdout);
}

int main(int arguments, char **argument)
{
    (void)arguments;
    pthread_t thread;
    setvbuf(stdout, output, _IOFBF, sizeof output);
    int still = !strcmp(argument[1], "still");
    if (still) {
        pthread_barrier_init(&done, NULL, THREADS + 1);
        pthread_create(&thread, NULL, fill_and_go, (void *)99);
        pthread_join(thread, NULL);
        for (uintptr_t i = 1; i <= THREADS; i++)
            pthread_create(&thread, NULL, fill_and_stay, (void *)i);
        fill(42);
        pthread_barrier_wait(&done);
    } else {
        for (int i = 0; i < MANY; i++)
            take(i % 8 ? i % 200 : i);
        for (uintptr_t i = 1; i <= THREADS; i++)
            pthread_create(&thread, NULL, churn, (void *)i);
    }
    tell();
    char byte;
    while (read(0, &byte, 1) > 0)
        ;
    _exit(0);
}
