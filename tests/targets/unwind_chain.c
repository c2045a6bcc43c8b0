/* Walks down a chain of calls, is interrupted by a signal at its end, and there writes down its
   own stack. Usage: unwind_chain FILE-FOR-THE-STACK [thread]; to standard output go its registers,
   its mappings and the return addresses as it knows them, the innermost first. */

#define _GNU_SOURCE
#include "unwind_chain.h"

#include <alloca.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

static void *noted[64];
static int count, stack_file;
unsigned long captured_rsp, captured_rbp, captured_caller;

void note(void *return_address)
{
    noted[count++] = return_address;
}

/* Leaves as an allocator's function would: what it writes is the stack as it is at its `ret`. */
void capture(int file);
__asm__(".text\n"
        "capture:\n"
        ".cfi_startproc\n"
        "mov %rsp, captured_rsp(%rip)\n"
        "mov %rbp, captured_rbp(%rip)\n"
        "mov (%rsp), %rax\n"
        "mov %rax, captured_caller(%rip)\n"
        "mov %rsp, %rsi\n"
        "mov $65536, %edx\n"
        "mov $1, %eax\n" /* write: as much as there is */
        "syscall\n"
        "ret\n"
        ".cfi_endproc\n");

/* Traps in its first instruction: looked up at the byte before, it would be another function. */
void trapping(void);
__asm__(".text\n"
        "before_trapping:\n"
        ".cfi_startproc\n"
        ".cfi_def_cfa_offset 4096\n"
        "nop\n"
        ".cfi_endproc\n"
        "trapping:\n"
        ".cfi_startproc\n"
        "ud2\n"
        ".cfi_endproc\n");

static void write_down(void)
{
    void *frames[64];
    int depth = backtrace(frames, 64), seen = 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");

    printf("rsp %lx\nrbp %lx\nknown %lx\n", captured_rsp, captured_rbp, captured_caller);
    while (count > 0)
        printf("known %lx\n", (unsigned long)noted[--count]);
    /* What called the first function has no other way to be known than by the unwinder of the compiler. */
    for (int i = 0; i < depth; i++) {
        if (seen)
            printf("known %lx\n", (unsigned long)frames[i]);
        seen |= frames[i] == noted[0];
    }
    while (fgets(line, sizeof line, maps))
        printf("map %s", line);
    fflush(stdout);
    _exit(0);
}

CHAIN static void innermost(void)
{
    NOTE();
    capture(stack_file);
    write_down();
}

static void on_trap(int signal, siginfo_t *information, void *context)
{
    const greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)signal, (void)information;
    note(*(void **)registers[REG_RSP]);
    note((void *)registers[REG_RIP]);
    NOTE();
    innermost();
    abort();
}

/* More than six arguments, a large alignment and an alloca: the CFA is an expression. */
CHAIN static void realigned(int a, int b, int c, int d, int e, int f, int g, unsigned size)
{
    volatile char aligned[64] __attribute__((aligned(64)));
    volatile char *block = alloca(size);
    aligned[a & 63] = block[b & 1] = (char)(c + d + e + f + g);
    NOTE();
    with_saved_registers(trapping);
    block[size - 1] = aligned[b & 63];
}

static void to_realigned(void)
{
    NOTE();
    realigned(1, 2, 3, 4, 5, 6, 7, 100);
    __asm__ volatile("");
}

static void to_registers(void)
{
    NOTE();
    with_saved_registers(to_realigned);
    __asm__ volatile("");
}

static void to_rbx(void)
{
    NOTE();
    with_cfa_in_rbx(to_registers);
    __asm__ volatile("");
}

CHAIN static void *start(void *argument)
{
    NOTE();
    with_alloca(to_rbx, 1000);
    return argument;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    pthread_t thread;

    if (argc < 2)
        return 2;
    stack_file = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    sigaction(SIGILL, &action, NULL);
    if (argc > 2) {
        pthread_create(&thread, NULL, start, NULL);
        pthread_join(thread, NULL);
    }
    start(NULL);
    return 1;
}
