/* Runs on aarch64: writes what a tracer would record in a function that is about to return. That is
 * the stack pointer, x29, x30, and raw stack, behind a chain of calls whose frames differ.
 */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { STACK_BYTES = 2048 };

__asm__(".globl probe\n"
        ".type probe, %function\n"
        "probe: mov x0, sp\n"
        "mov x1, x29\n"
        "mov x2, x30\n"
        "b record\n"
        ".size probe, . - probe\n");

void probe(void);
int volatile zero;

__attribute__((used)) void record(uint64_t sp, uint64_t x29, uint64_t x30)
{
    uint64_t registers[] = {sp, x29, x30};

    write(1, registers, sizeof registers);
    write(1, (void *)(uintptr_t)sp, STACK_BYTES);
    _exit(0);
}

__attribute__((noinline)) int innermost(int n)
{
    probe();
    return n + zero;
}

__attribute__((noinline)) int with_large_frame(int n)
{
    char space[400];

    memset(space, zero, sizeof space);
    return innermost(n) + space[n];
}

__attribute__((noinline)) int with_frame_of_any_size(int n)
{
    char *space = __builtin_alloca(n * 16 + 16);

    memset(space, zero, n);
    return with_large_frame(n) + space[0];
}

__attribute__((noinline)) int recursive(int n)
{
    return n ? recursive(n - 1) + zero : with_frame_of_any_size(3) + zero;
}

int main(void)
{
    return recursive(3) + zero;
}
