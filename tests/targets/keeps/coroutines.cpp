// Blocks that the stacks of coroutines keep, or kept.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "keeps.h"

enum { STACK = 1 << 15 };

struct Coroutine {
    ucontext_t inside, outside;
    bool stays;
};

extern "C" int __cxa_atexit(void (*function)(void *), void *argument, void *library);

Coroutine in_heap, in_mapping;
static Coroutine *current;

static void run()
{
    void *volatile held[COUNT];
    for (int i = 0; i < COUNT; i++)
        held[i] = unpack(i);
    escape(held);
    if (current->stays)
        swapcontext(&current->inside, &current->outside);
    escape(held);
}

static void enter(const Way &way, Coroutine &coroutine, void *stack, bool stays)
{
    for (int i = 0; i < COUNT; i++)
        pack(i, way.fresh(i));
    current = &coroutine;
    getcontext(&coroutine.inside);
    coroutine.inside.uc_stack.ss_sp = stack;
    coroutine.inside.uc_stack.ss_size = STACK;
    coroutine.inside.uc_link = &coroutine.outside;
    coroutine.stays = stays;
    makecontext(&coroutine.inside, run, 0);
    swapcontext(&coroutine.outside, &coroutine.inside);
    escape(&coroutine);
    current = nullptr;
}

static void *map_stack()
{
    void *stack = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return stack == MAP_FAILED ? abort(), nullptr : stack;
}

WAY(kept, coroutine_in_heap)
{
    enter(way, in_heap, way.prepare(malloc(STACK), STACK, STACK), true);
}

WAY(kept, coroutine_in_mapping)
{
    enter(way, in_mapping, map_stack(), true);
}

// It waits for ever, and what could resume it is gone.
WAY(lost, coroutine)
{
    Coroutine coroutine = {};
    enter(way, coroutine, way.prepare(malloc(STACK), STACK, STACK), true);
}

WAY(lost, coroutine_unmapped)
{
    Coroutine coroutine = {};
    void *stack = map_stack();
    enter(way, coroutine, stack, false);
    munmap(stack, STACK);
}

WAY(lost, coroutine_freed)
{
    Coroutine coroutine = {};
    void *stack = malloc(STACK);
    enter(way, coroutine, stack, false);
    resize_at_end(stack, 0);
}

static void ignore(void *) {}

WAY(kept, atexit_argument)
{
    for (int i = 0; i < COUNT; i++)
        if (__cxa_atexit(ignore, way.fresh(i), nullptr))
            abort();
}
