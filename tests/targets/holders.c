/* A program that keeps blocks in many ways, and says where.
 *
 * Writes "NAME ADDRESS" for each block, then "ready", and waits for the end of its input.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NODES = 10000, BYTES = 120 };

struct node {
    struct node *next;
    long number;
};

struct server {
    long started;
    void *clients[4];
};

static volatile struct server server;
struct node *list;
static _Thread_local void *volatile cache;
static pthread_key_t key;

static void say(const char *name, void *block) {
    printf("%s %p\n", name, block);
}

static __attribute__((noinline)) void keep_in_function(void) {
    static void *last;
    last = malloc(BYTES);
    say("function", last);
    __asm__ volatile("" ::"r"(&last) : "memory");
}

static void *wait_with_block(void *from) {
    void *volatile own = malloc(BYTES);
    *(void *volatile *)from = own;
    for (;;)
        pause();
    return own;
}

/* A block that no word refers to, since its address was only ever printed. */
static __attribute__((noinline)) void lose(void) {
    void *volatile lost = malloc(BYTES);
    say("lost", lost);
    lost = NULL;
}

static __attribute__((noinline)) void wipe(void) {
    volatile char below[1 << 14];
    memset((void *)below, 0, sizeof below);
}

int main(void) {
    server.started = 1;
    server.clients[2] = malloc(BYTES);
    say("global", server.clients[2]);
    keep_in_function();
    cache = malloc(BYTES);
    say("thread", cache);
    pthread_key_create(&key, NULL);
    pthread_setspecific(key, malloc(BYTES));
    say("key", pthread_getspecific(key));
    struct node *last = NULL;
    for (long number = 0; number < NODES; number++) {
        struct node *node = malloc(sizeof *node);
        node->next = list;
        node->number = number;
        list = node;
        if (!number)
            last = node;
    }
    say("list", last);
    last = NULL;
    void **ring = malloc(sizeof *ring * 4), **other = malloc(sizeof *other * 4);
    ring[0] = other;
    other[0] = ring;
    say("ring", ring);
    ring = other = NULL;
    void *freed = malloc(2 * BYTES);
    say("freed", freed);
    free(freed);
    freed = NULL;
    static void *volatile handed;
    pthread_t thread;
    pthread_create(&thread, NULL, wait_with_block, (void *)&handed);
    while (!handed)
        usleep(1000);
    say("stack", handed);
    handed = NULL;
    lose();
    wipe();
    puts("ready");
    fflush(stdout);
    char byte;
    return read(0, &byte, 1) != 0;
}
