/* The part of the chain that lies in a shared library. */

#include "unwind_chain.h"

#include <alloca.h>

/* CFA relative to rbp, without -fno-omit-frame-pointer. */
void with_alloca(step next, unsigned size)
{
    volatile char *block = alloca(size);
    block[0] = 1;
    NOTE();
    next();
    block[size - 1] = 2;
}

/* Saves several registers, the one a frame farther out hangs on among them. */
void with_saved_registers(step next)
{
    unsigned long a = (unsigned long)next, b = a + 1, c = a + 2, d = a + 3, e = a + 4;
    NOTE();
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e));
    next();
    __asm__ volatile("" : : "r"(a), "r"(b), "r"(c), "r"(d), "r"(e));
}

/* The CFA is relative to rbx, which only callees save. */
__asm__(".text\n"
        ".globl with_cfa_in_rbx\n"
        ".type with_cfa_in_rbx, @function\n"
        "with_cfa_in_rbx:\n"
        ".cfi_startproc\n"
        "push %rbx\n"
        ".cfi_adjust_cfa_offset 8\n"
        ".cfi_offset rbx, -16\n"
        "mov %rsp, %rbx\n"
        ".cfi_def_cfa_register rbx\n"
        "sub $100, %rsp\n"
        "and $-64, %rsp\n"
        "push %rdi\n"
        "push %rdi\n"
        "mov 8(%rbx), %rdi\n"
        "call note@PLT\n"
        "pop %rdi\n"
        "pop %rdi\n"
        "call *%rdi\n"
        "mov %rbx, %rsp\n"
        ".cfi_def_cfa_register rsp\n"
        "pop %rbx\n"
        ".cfi_adjust_cfa_offset -8\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size with_cfa_in_rbx, . - with_cfa_in_rbx\n");
