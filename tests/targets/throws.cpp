// Calls of `operator new` that throw, and others, with known values in the registers that a function
// has to preserve. Commands on stdin, each answered with a line:
//
//     bad N       each operator throws std::bad_alloc N times: how often it was caught
//     handler N   a new_handler throws something of its own N times: the same
//     keep N      N blocks by each operator, none freed: how many
//     depth       a new_handler unwinds the stack: how many frames there are above main
//     stale       operator new throws far below, then a function waits for a line that has the words
//                 of that in an array of its own: ok, before it waits
//     start       threads that do all of that without an end: ok
//     count       how many rounds they have done
//     stop        end them: ok
//
// Wherever a register has not the value that it had, the program ends by SIGILL.
#include <execinfo.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

enum { OPERATORS = 4, THREADS = 4, ROUNDS_AT_ONCE = 10 };
static const size_t TOO_MUCH = size_t(1) << 60, SIZE = 40;

struct Own {
    long number;
};

// Calls a function with an argument, and aborts unless it preserves rbx, rbp, and r12 to r15.
asm(R"(
    .text
    .type with_registers, @function
with_registers:
    .cfi_startproc
    .irp register, rbx, rbp, r12, r13, r14, r15
    push %\register
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %\register, 0
    .endr
    sub $24, %rsp
    .cfi_adjust_cfa_offset 24
    mov %rdx, (%rsp)
    lea 1(%rdx), %rbx
    lea 2(%rdx), %rbp
    lea 3(%rdx), %r12
    lea 4(%rdx), %r13
    lea 5(%rdx), %r14
    lea 6(%rdx), %r15
    mov %rdi, %rax
    mov %rsi, %rdi
    call *%rax
    mov (%rsp), %rdx
    .irp register, rbx, rbp, r12, r13, r14, r15
    inc %rdx
    cmp %rdx, %\register
    jne 1f
    .endr
    add $24, %rsp
    .cfi_remember_state
    .cfi_adjust_cfa_offset -24
    .irp register, r15, r14, r13, r12, rbp, rbx
    pop %\register
    .cfi_adjust_cfa_offset -8
    .cfi_restore %\register
    .endr
    ret
    .cfi_restore_state
1:  ud2
    .cfi_endproc
    .size with_registers, . - with_registers
)");
extern "C" long with_registers(long (*function)(long), long argument, uint64_t seed);

static thread_local uint64_t seed = 0x5eed000000000000;
static thread_local void *kept;

static void *allocate(long which, size_t size)
{
    switch (which) {
    case 0:
        return ::operator new(size);
    case 1:
        return ::operator new[](size);
    case 2:
        return ::operator new(size, std::align_val_t(64));
    default:
        return ::operator new[](size, std::align_val_t(64));
    }
}

static void release(long which, void *block)
{
    switch (which) {
    case 0:
        return ::operator delete(block);
    case 1:
        return ::operator delete[](block);
    case 2:
        return ::operator delete(block, std::align_val_t(64));
    default:
        return ::operator delete[](block, std::align_val_t(64));
    }
}

static long fail(long which)
{
    try {
        release(which, allocate(which, TOO_MUCH));
    } catch (const std::bad_alloc &) {
        return 1;
    } catch (const Own &own) {
        return own.number;
    }
    return 0;
}

static long succeed(long which)
{
    kept = allocate(which, SIZE);
    std::memset(kept, 0, SIZE);
    return 1;
}

static long checked(long (*function)(long), long which)
{
    return with_registers(function, which, seed += 0x10001);
}

static void complain()
{
    throw Own{1};
}

static long fail_often(long count)
{
    long caught = 0;
    for (long i = 0; i < count; i++)
        for (long which = 0; which < OPERATORS; which++) {
            caught += checked(fail, which);
            checked(succeed, which);
            release(which, kept);
        }
    return caught;
}

static long keep(long count)
{
    long found = 0;
    for (long i = 0; i < count; i++)
        for (long which = 0; which < OPERATORS; which++)
            found += checked(succeed, which);
    return found;
}

static int depth;

static void unwind()
{
    void *frames[64];
    depth = backtrace(frames, 64);
    throw Own{1};
}

static void __attribute__((noinline)) fail_below()
{
    char room[2000];
    asm volatile("" : : "r"(room) : "memory");
    release(0, allocate(0, TOO_MUCH));
    asm volatile("" : : "r"(room) : "memory");
}

static void __attribute__((noinline)) fail_far_below()
{
    try {
        fail_below();
    } catch (const std::bad_alloc &) {
    }
}

static char *__attribute__((noinline)) wait_above()
{
    char room[8000];
    asm volatile("" : : "r"(room) : "memory");
    if (write(STDOUT_FILENO, "ok\n", 3) != 3)
        return nullptr;
    static char line[100];
    char *got = std::fgets(line, sizeof line, stdin);
    asm volatile("" : : "r"(room) : "memory");
    return got;
}

static std::atomic<bool> is_over;
static std::atomic<long> rounds;

static void *work(void *)
{
    while (!is_over) {
        if (fail_often(ROUNDS_AT_ONCE) != OPERATORS * ROUNDS_AT_ONCE)
            std::abort();
        rounds++;
    }
    return nullptr;
}

int main()
{
    static pthread_t threads[THREADS];
    char line[100], word[20];
    void *frames[4];
    backtrace(frames, 4);  // loads what it needs
    std::setvbuf(stdout, nullptr, _IONBF, 0);
    std::puts("ready");
    while (std::fgets(line, sizeof line, stdin)) {
        long count = 0;
        std::sscanf(line, "%19s %ld", word, &count);
        if (!std::strcmp(word, "bad")) {
            std::printf("%ld\n", fail_often(count));
        } else if (!std::strcmp(word, "handler")) {
            std::set_new_handler(complain);
            std::printf("%ld\n", fail_often(count));
            std::set_new_handler(nullptr);
        } else if (!std::strcmp(word, "keep")) {
            std::printf("%ld\n", keep(count));
        } else if (!std::strcmp(word, "depth")) {
            std::set_new_handler(unwind);
            fail(0);
            std::set_new_handler(nullptr);
            std::printf("%d\n", depth);
        } else if (!std::strcmp(word, "stale")) {
            fail_far_below();
            if (!wait_above())
                return 1;
            std::puts("ok");
        } else if (!std::strcmp(word, "start")) {
            std::set_new_handler(complain);
            is_over = false;
            for (auto &thread : threads)
                if (pthread_create(&thread, nullptr, work, nullptr))
                    return 1;
            std::puts("ok");
        } else if (!std::strcmp(word, "count")) {
            std::printf("%ld\n", rounds.load());
        } else if (!std::strcmp(word, "stop")) {
            is_over = true;
            for (auto &thread : threads)
                pthread_join(thread, nullptr);
            std::puts("ok");
        } else {
            return 2;
        }
    }
}
