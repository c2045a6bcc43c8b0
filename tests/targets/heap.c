/* Brings blocks into every state that glibc's malloc knows, and writes which are in use to a file:
 * in the order of the calls a line "ADDRESS SIZE" for each block handed out, "ADDRESS 0" for each given
 * back. Says "ready" and does nothing until its stdin is closed.
 *
 * "still FILE": threads, each with its arena, one of which has ended. On a line from stdin frees more,
 * takes larger blocks instead, writes the file again and says "done".
 * "churn FILE": the file tells of blocks that stay in use while other threads allocate, resize, fill and
 * free without end.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 3, EVENTS = 1 << 20, MANY = 4000 };

static struct event {
    void *block;
    size_t size;
} events[EVENTS];
static atomic_uint count;
static pthread_barrier_t done;
static char output[1 << 16];
static const char *path;

static void note(void *block, size_t size)
{
    events[atomic_fetch_add(&count, 1)] = (struct event){block, size};
}

static void *take(size_t size)
{
    void *block = malloc(++size);
    memset(block, 0xa5, size);
    note(block, size);
    return block;
}

static void give(void *block)
{
    note(block, 0);
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
    for (size_t size = 23; size <= 1031; size += 16)
        alternate(size, 14, 1); /* tcache */
    for (size_t size = 23; size <= 119; size += 16)
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

/* What the lists of free blocks look like, in blocks that are in use. */
struct node {
    struct node *next;
    uintptr_t size;
};

static void *kept[MANY];

static void link_to(struct node *node, size_t size, unsigned *seed)
{
    int other = rand_r(seed) % MANY;
    node->next = other % 4 ? kept[other] : NULL;
    node->size = (size + 8 + 15) & ~15ul;
}

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
        link_to(slots[i], size, &seed);
    }
    return NULL;
}

static void resize_in_place(void *block, size_t size)
{
    uintptr_t at = (uintptr_t)block;
    void *same = realloc(block, size);
    if ((uintptr_t)same != at)
        abort();
    memset(same, 0, size);
}

/* Blocks that are resized where they stand: nobody else is in this arena. */
static void *resize(void *argument)
{
    (void)argument;
    enum { RESIZED = 64, SMALL = 5000, LARGE = 40000 };
    void *blocks[RESIZED];
    for (int i = 0; i < RESIZED; i++) {
        blocks[i] = take(LARGE);
        take(100); /* not merged with the next one when it is cut */
    }
    pthread_barrier_wait(&done);
    for (;;) {
        for (int i = 0; i < RESIZED; i++)
            resize_in_place(blocks[i], SMALL);
        for (int i = 0; i < RESIZED; i++)
            resize_in_place(blocks[i], LARGE);
    }
    return NULL;
}

static void tell(const char *word)
{
    FILE *file = fopen(path, "w");
    for (unsigned i = 0; i < count; i++)
        fprintf(file, "%p %zu\n", events[i].block, events[i].size);
    fclose(file);
    puts(word);
    fflush(stdout);
}

static void stand_still(void)
{
    pthread_t thread;
    pthread_barrier_init(&done, NULL, THREADS + 1);
    pthread_create(&thread, NULL, fill_and_go, (void *)99);
    pthread_join(thread, NULL);
    for (uintptr_t i = 1; i <= THREADS; i++)
        pthread_create(&thread, NULL, fill_and_stay, (void *)i);
    fill(42);
    for (int i = 0; i < MANY; i++)
        kept[i] = take(i % 500);
    pthread_barrier_wait(&done);
    tell("ready");
    char line[80];
    while (fgets(line, sizeof line, stdin)) {
        for (int i = 0; i < MANY; i++)
            if (i % 20)
                give(kept[i]);
        for (int i = 0; i < MANY / 20; i++)
            take(3000);
        tell("done");
    }
}

static void churn_on(void)
{
    pthread_t thread;
    unsigned seed = 5;
    pthread_barrier_init(&done, NULL, 2);
    pthread_create(&thread, NULL, resize, NULL);
    pthread_barrier_wait(&done);
    for (int i = 0; i < MANY; i++) {
        size_t size = (i % 8 ? i % 200 : i) + sizeof(struct node);
        kept[i] = take(size);
        link_to(kept[i], size, &seed);
    }
    for (uintptr_t i = 1; i <= THREADS; i++)
        pthread_create(&thread, NULL, churn, (void *)i);
    tell("ready");
    while (getchar() != EOF)
        ;
}

int main(int arguments, char **argument)
{
    if (arguments != 3)
        return 2;
    static char input[80];
    setvbuf(stdin, input, _IOFBF, sizeof input);
    setvbuf(stdout, output, _IOFBF, sizeof output);
    path = argument[2];
    if (strcmp(argument[1], "still"))
        churn_on();
    else
        stand_still();
    _exit(0);
}
