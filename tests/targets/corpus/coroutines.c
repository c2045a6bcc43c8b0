/* Twenty-five coroutines with stacks of their own from the heap. Each lives for about a second; only its own
 * stack refers to what it has allocated.
 * keeps: make_stack
 * keeps: parse_request */
#include "corpus.h"
#include <ucontext.h>

#define AT_ONCE 25
#define STACK 16384

static ucontext_t scheduler, *coroutines[AT_ONCE];

NOINLINE static ucontext_t *make_stack(void)
{
    return (ucontext_t *)use(malloc(STACK), 64);
}

NOINLINE static void *parse_request(void)
{
    return use(malloc(112), 112);
}

static void serve(int which)
{
    void *volatile request = parse_request(), *volatile other = parse_request();
    swapcontext(coroutines[which], &scheduler);
    free(request);
    free(other);
}

static void start(void) {}

static void tick(long number)
{
    if (number % 5)
        return;
    int which = number / 5 % AT_ONCE;
    if (coroutines[which]) {
        swapcontext(&scheduler, coroutines[which]);
        free(coroutines[which]);
    }
    ucontext_t *made = coroutines[which] = make_stack();
    getcontext(made);
    made->uc_stack.ss_sp = made + 1;
    made->uc_stack.ss_size = STACK - sizeof *made;
    made->uc_link = &scheduler;
    makecontext(made, (void (*)(void))serve, 1, which);
    swapcontext(&scheduler, made);
}
