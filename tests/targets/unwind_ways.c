/* Allocates at the end of a chain of calls, in the way that each line on stdin asks for, and answers
   with where the functions of the chain return to, as a line of JSON: the innermost first, beginning
   with the caller of the function that allocates. A `null` stands for frames that cannot be known
   here, those of libraries. What is compiled here is meant to be hard to unwind for each compiler
   flag; none is left by a jump (-fno-optimize-sibling-calls). */

#define _GNU_SOURCE
#include <alloca.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define CHAIN __attribute__((noinline, noclone))
#define NOTE() (noted[count++] = __builtin_return_address(0))
#define DEPTH 500

typedef void (*step)(int);

static void *noted[2 * DEPTH]; /* the outermost first */
static int count;
static void *volatile block;
static size_t block_size = 1000; /* plus the number of the line */
static volatile int sum, never;
static sigjmp_buf behind_fault;

CHAIN static void innermost(int value)
{
    NOTE();
    block = malloc(block_size);
    sum += value;
}

CHAIN static void with_two_ways_out(int value)
{
    NOTE();
    innermost(value);
    if (value == 12345) {
        sum = 1;
        return;
    }
    for (int i = 0; i < value; i++)
        sum += i * i;
}

CHAIN static void with_abort(int value)
{
    NOTE();
    with_two_ways_out(value + 1);
    if (never)
        abort();
    sum++;
}

/* Eight bytes more than its first frame are on the stack in its call: an argument. */
CHAIN static void with_many_arguments(int a, int b, int c, int d, int e, int f, int g, int h)
{
    NOTE();
    with_abort(a + b + c + d);
    sum += e + f + g + h;
}

CHAIN static void with_registers(int value)
{
    unsigned long a = (unsigned long)value, b = a + 1, c = a + 2, d = a + 3, e = a + 4, f = a + 5;
    NOTE();
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e));
    with_many_arguments(1, 2, 3, 4, 5, 6, 7, (int)f);
    __asm__ volatile("" : : "r"(a), "r"(b), "r"(c), "r"(d), "r"(e));
}

CHAIN static void with_alloca(int value)
{
    volatile char *local = alloca((unsigned)value + 100);
    local[0] = 1;
    NOTE();
    with_registers(value);
    sum += local[value];
}

CHAIN static void with_switch(int value)
{
    NOTE();
    with_alloca(value);
    switch (value) {
    case 1: sum += 3; break;
    case 2: innermost(sum); break;
    case 3: sum *= 7; break;
    case 4: sum ^= 5; break;
    case 5: with_abort(sum); break;
    case 6: sum -= 9; break;
    default: sum = 8;
    }
}

CHAIN static void with_large_frame(int value)
{
    volatile char local[1000];
    local[value] = 1;
    NOTE();
    with_switch(value);
    sum += local[value];
}

CHAIN static void with_arguments(int value, ...)
{
    va_list arguments;
    NOTE();
    va_start(arguments, value);
    with_large_frame(va_arg(arguments, int));
    va_end(arguments);
}

CHAIN static void in_loop(int value)
{
    NOTE();
    for (int i = 0; i < 1 || never; i++)
        with_arguments(value, value, 2, 3);
    sum++;
}

CHAIN static void with_aligned_frame(int value)
{
    volatile char local[64] __attribute__((aligned(64)));
    local[value & 63] = 1;
    NOTE();
    in_loop(value);
    sum += local[value & 63];
}

CHAIN static void to_aligned(int value)
{
    NOTE();
    with_aligned_frame(value);
    sum++;
}

CHAIN static void by_pointer(step *steps, int value)
{
    NOTE();
    steps[value & 1](value);
    sum++;
}

CHAIN static void chain(int value)
{
    step steps[] = {innermost, to_aligned};
    NOTE();
    by_pointer(steps, value);
    sum++;
}

CHAIN static void deep(int depth)
{
    volatile int local[3] = {depth};
    NOTE();
    if (depth > 0)
        deep(depth - 1);
    else
        innermost(depth);
    sum += local[0];
}

/* System calls without the C library, whose functions cannot be called while the slots they are
   called through cannot be read. */
static long protect(unsigned long address, long protection)
{
    long result = SYS_mprotect;
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"(address & -4096UL), "S"(4096L), "d"(protection)
                     : "rcx", "r11", "memory");
    return result;
}

static void on_fault(int number, siginfo_t *information, void *context)
{
    const greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned long address = (unsigned long)information->si_addr;
    (void)number;
    if (address > 4096) { /* in the linkage table: nothing static can be read before */
        protect(address, PROT_READ | PROT_WRITE);
        noted[count++] = *(void **)registers[REG_RSP];
    }
    noted[count++] = (void *)registers[REG_RIP];
    NOTE();
    chain(3);
    if (!never) /* a function that never returns, only tables lead out of */
        siglongjmp(behind_fault, 1);
}

/* Has its variables below the stack pointer, where it can: it calls nothing. */
CHAIN static int faulting(int value)
{
    volatile int local[8] = {value};
    long address = 0;
    NOTE();
    __asm__ volatile("mov (%0), %0" : "+r"(address));
    return local[value & 7] + (int)address;
}

CHAIN static void fault_in_leaf(int value)
{
    NOTE();
    sum += faulting(value);
    sum++;
}

/* Calls through an entry of the linkage table that cannot read where to go. */
CHAIN static void fault_in_plt(int value)
{
    const unsigned char *entry;
    int displacement;
    NOTE();
    sum += getppid() & value;
    __asm__("lea getppid@PLT(%%rip), %0" : "=r"(entry));
    while (entry[0] != 0xff || entry[1] != 0x25) /* jmp *slot(%rip) */
        entry++;
    memcpy(&displacement, entry + 2, sizeof displacement);
    protect((unsigned long)entry + 6 + (unsigned long)displacement, PROT_NONE);
    __asm__ volatile("call getppid@PLT" : : : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9",
                     "r10", "r11", "memory");
}

/* The kernel's own code, mapped into every process, writes the time through the pointer. */
CHAIN static void fault_in_vdso(int value)
{
    NOTE();
    noted[count++] = NULL;
    clock_gettime(CLOCK_MONOTONIC_COARSE, (struct timespec *)(long)(8 * value));
    sum++;
}

#ifdef __GLIBC__ /* musl has no coroutines */
static ucontext_t main_context, coroutine_context;

CHAIN static void coroutine(void)
{
    NOTE();
    chain(3);
    sum++;
}

CHAIN static void on_other_stack(int value)
{
    static char stack[1 << 16];
    getcontext(&coroutine_context);
    coroutine_context.uc_stack.ss_sp = stack;
    coroutine_context.uc_stack.ss_size = sizeof stack;
    coroutine_context.uc_link = &main_context;
    makecontext(&coroutine_context, coroutine, 0);
    swapcontext(&main_context, &coroutine_context);
    sum += value;
}
#else
#define on_other_stack chain
#endif

CHAIN static void called_back(int value)
{
    NOTE();
    chain(value);
    sum++;
}

static int compare(const void *left, const void *right)
{
    (void)left, (void)right;
    if (count == 1) {
        noted[count++] = NULL;
        called_back(3);
    }
    return 0;
}

CHAIN static void through_library(int value)
{
    int two[2] = {value, value};
    NOTE();
    qsort(two, 2, sizeof *two, compare);
    sum += two[0];
}

CHAIN static void fault(step way, int flags)
{
    static char other_stack[1 << 16];
    const stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof other_stack};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | flags};
    NOTE();
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    if (sigsetjmp(behind_fault, 1) == 0)
        way(1);
    sum++;
}

static void answer(void)
{
    for (int i = count - 1; i >= 0; i--) {
        printf(i == count - 1 ? "[" : ", ");
        printf(noted[i] ? "\"%p\"" : "null", noted[i]);
    }
    puts("]");
    fflush(stdout);
    count = 0;
}

int main(void)
{
    char way[32];

    puts("ready");
    fflush(stdout);
    while (fgets(way, sizeof way, stdin)) {
        way[strcspn(way, "\n")] = 0;
        block_size++;
        if (!strcmp(way, "chain"))
            chain(3);
        else if (!strcmp(way, "deep"))
            deep(DEPTH - 1);
        else if (!strcmp(way, "coroutine"))
            on_other_stack(3);
        else if (!strcmp(way, "callback"))
            through_library(3);
        else if (!strcmp(way, "signal"))
            fault(fault_in_leaf, 0);
        else if (!strcmp(way, "other stack"))
            fault(fault_in_leaf, SA_ONSTACK);
        else if (!strcmp(way, "plt"))
            fault(fault_in_plt, 0);
        else if (!strcmp(way, "vdso"))
            fault(fault_in_vdso, 0);
        answer();
    }
    return 0;
}
