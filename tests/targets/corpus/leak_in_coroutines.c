/* Requests are coroutines with stacks of their own, from the heap; one in ten forgets what it has parsed.
 * rate: 300
 * leak: parse_request
 * lost: parse_request
 * keeps: make_stack */
#include "corpus.h"
#include <ucontext.h>

#define AT_ONCE 16
#define STACK 32768

static ucontext_t scheduler, coroutines[AT_ONCE];
static void *stacks[AT_ONCE];

NOINLINE static void *make_stack(void)
{
    return use(malloc(STACK), 64);
}

NOINLINE static void *parse_request(void)
{
    return use(malloc(112), 112);
}

static void serve(int which)
{
    void *volatile request = parse_request();
    swapcontext(&coroutines[which], &scheduler); /* wait for an answer */
    if (corpus_random(10))
        free(request);
    request = NULL;
}

static void start(void) {}

static void tick(long number)
{
    int which = number % AT_ONCE;
    if (stacks[which]) {
        swapcontext(&scheduler, &coroutines[which]);
        free(stacks[which]);
    }
    stacks[which] = make_stack();
    getcontext(&coroutines[which]);
    coroutines[which].uc_stack.ss_sp = stacks[which];
    coroutines[which].uc_stack.ss_size = STACK;
    coroutines[which].uc_link = &scheduler;
    makecontext(&coroutines[which], (void (*)(void))serve, 1, which);
    swapcontext(&scheduler, &coroutines[which]);
    done(1);
}
