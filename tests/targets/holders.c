/* A program that keeps blocks in many ways, and says where they are.
 *
 * Writes "ready". A line with the name of a block is answered with its address; "end" ends it. The
 * addresses are kept as text, which refers to nothing.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { NODES = 10000, BYTES = 120, NAMES = 32, LARGE = 1 << 20 };

struct node {
    struct node *next;
    long number;
};

struct server {
    long started;
    void *clients[4];
};

static volatile struct server server;
struct node *volatile list;
static _Thread_local void *volatile cache;
static pthread_key_t key;
static void *volatile handed;
static struct {
    char name[16], address[24];
} told[NAMES];
static int names;

static void say(const char *name, volatile void *block) {
    snprintf(told[names].name, sizeof told[names].name, "%s", name);
    snprintf(told[names].address, sizeof told[names].address, "%p", (void *)block);
    names++;
}

static __attribute__((noinline)) void keep_in_function(void) {
    static void *volatile last;
    last = malloc(BYTES);
    say("function", last);
}

static void *wait_with_block(void *unused) {
    void *volatile own = malloc(BYTES);
    handed = own;
    for (;;)
        pause();
    return unused;
}

static void *run_with_block(void *unused) {
    void *volatile own = malloc(BYTES);
    handed = own;
    for (;;)
        __asm__ volatile("pause");
    return unused;
}

static __attribute__((noinline)) void start(void *(*run)(void *), const char *name) {
    pthread_t thread;
    handed = NULL;
    pthread_create(&thread, NULL, run, NULL);
    while (!handed)
        usleep(1000);
    say(name, handed);
    handed = NULL;
}

static __attribute__((noinline)) void make_list(void) {
    for (long number = 0; number < NODES; number++) {
        struct node *node = malloc(sizeof *node);
        node->next = list;
        node->number = number;
        if (!number)
            say("list", node);
        list = node;
    }
}

static __attribute__((noinline)) void make_large(void) {
    void **large = calloc(1, LARGE);
    large[LARGE / 2 / sizeof *large] = malloc(BYTES);
    server.clients[3] = large;
    say("large", large[LARGE / 2 / sizeof *large]);
}

static __attribute__((noinline)) void share(void) {
    void *volatile *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                                  -1, 0);
    shared[2] = malloc(BYTES);
    say("shared", shared[2]);
}

/* Blocks that nothing outside them refers to, since all that is left of them is text. */
static __attribute__((noinline)) void lose(void) {
    void **ring = malloc(4 * sizeof *ring), **other = malloc(4 * sizeof *other);
    ring[0] = other;
    other[0] = ring;
    say("ring", ring);
    void *freed = malloc(2 * BYTES);
    say("freed", freed);
    free(freed);
    say("lost", malloc(BYTES));
}

static __attribute__((noinline)) void wipe(void) {
    volatile char below[1 << 14];
    for (size_t at = 0; at < sizeof below; at++)
        below[at] = 0;
}

int main(int count, char **words) {
    server.started = 1;
    server.clients[2] = malloc(BYTES);
    say("global", server.clients[2]);
    keep_in_function();
    cache = malloc(BYTES);
    say("thread", cache);
    pthread_key_create(&key, NULL);
    pthread_setspecific(key, malloc(BYTES));
    say("key", pthread_getspecific(key));
    make_list();
    make_large();
    share();
    start(wait_with_block, "stack");
    if (count > 1 && !strcmp(words[1], "runs"))
        start(run_with_block, "runs");
    say("code", (void *)main);
    say("variable", (void *)&server);
    lose();
    wipe();
    puts("ready");
    fflush(stdout);
    char line[32];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "end"))
            break;
        for (int at = 0; at < names; at++)
            if (!strcmp(line, told[at].name))
                puts(told[at].address);
        fflush(stdout);
    }
    return 0;
}
