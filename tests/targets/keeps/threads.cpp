// Blocks that threads keep: in registers, on stacks, in TLS. And blocks that look like it.
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "keeps.h"

enum { IN_REGISTERS = 8, DEEP = 20, ALTERNATE = 1 << 16, PER_KEY = 6 };

// Keeps eight scrambled addresses in registers alone. Spins while *flag is set, else waits for that
// in the kernel. The thread has settled as soon as they are there.
asm(R"(
    .text
    .type keep_in_registers, @function
keep_in_registers:
    .cfi_startproc
    .cfi_undefined rip
    mov 0(%rsi), %rbx
    mov 8(%rsi), %rbp
    mov 16(%rsi), %r8
    mov 24(%rsi), %r9
    mov 32(%rsi), %r12
    mov 40(%rsi), %r13
    mov 48(%rsi), %r14
    mov 56(%rsi), %r15
    .irp register, rbx, rbp, r8, r9, r12, r13, r14, r15
    xor %rdx, %\register
    .endr
    movl $1, (%rcx)
1:  cmpl $0, (%rdi)
    je 2f
    pause
    jmp 1b
2:  mov $128, %esi
    xor %edx, %edx
    xor %r10d, %r10d
    mov $202, %eax
    syscall                 # futex(flag, FUTEX_WAIT_PRIVATE, 0, NULL)
    jmp 1b
    .cfi_endproc
    .size keep_in_registers, . - keep_in_registers
)");
extern "C" void keep_in_registers(int *flag, const uint64_t *words, uint64_t key, int *is_there);

__thread void *volatile in_tls[COUNT];
static pthread_key_t keys[PER_KEY];
static int never;

static void *work_in_registers(void *flag)
{
    static uint64_t words[2][IN_REGISTERS];
    auto &mine = words[flag == &never];
    int *is_there = reinterpret_cast<int *>(&parcel[IN_REGISTERS]);
    memcpy(mine, parcel, sizeof mine);
    keep_in_registers(static_cast<int *>(flag), mine, KEY, is_there);
    return nullptr;
}

// It says so itself in the parcel, for settle() would need the registers.
static void keep_registers(const Way &way, int *flag)
{
    for (int i = 0; i < IN_REGISTERS; i++)
        pack(i, way.fresh(i));
    parcel[IN_REGISTERS] = 0;
    pthread_t thread;
    if (pthread_create(&thread, nullptr, work_in_registers, flag) || pthread_detach(thread))
        abort();
    while (!__atomic_load_n(&parcel[IN_REGISTERS], __ATOMIC_SEQ_CST)) {
    }
}

WAY(kept, register_spinning)
{
    keep_registers(way, &stirring);
}

WAY(kept, register_blocked)
{
    keep_registers(way, &never);
}

static void send(const Way &way, void *(*work)(void *), int count = COUNT)
{
    for (int i = 0; i < count; i++)
        pack(i, way.fresh(i));
    start_resident(work);
}

static void *work_on_stack(void *)
{
    void *volatile held[COUNT];
    for (int i = 0; i < COUNT; i++)
        held[i] = unpack(i);
    settle();
    block();
    escape(held);
    return nullptr;
}

WAY(kept, stack)
{
    send(way, work_on_stack);
}

static void __attribute__((noinline)) descend(int depth)
{
    void *volatile held = depth % DEEP == 0 && depth < COUNT * DEEP ? unpack(depth / DEEP) : nullptr;
    escape(&held);
    if (depth < COUNT * DEEP) {
        descend(depth + 1);
    } else {
        settle();
        block();
    }
    escape(&held);
}

static void *work_deep(void *)
{
    descend(0);
    return nullptr;
}

WAY(kept, deep_stack)
{
    send(way, work_deep);
}

static void handle(int)
{
    work_on_stack(nullptr);
}

static void handle_without(int)
{
    settle();
    block();
}

static void raise_on_another_stack(void (*handler)(int))
{
    struct sigaction action = {};
    stack_t other = {};
    other.ss_sp = mmap(nullptr, ALTERNATE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0);
    other.ss_size = ALTERNATE;
    action.sa_handler = handler;
    action.sa_flags = SA_ONSTACK;
    if (other.ss_sp == MAP_FAILED || sigaltstack(&other, nullptr) ||
        sigaction(SIGUSR1, &action, nullptr))
        abort();
    pthread_kill(pthread_self(), SIGUSR1);
}

static void *work_on_another_stack(void *)
{
    raise_on_another_stack(handle);
    return nullptr;
}

WAY(kept, alternate_stack)
{
    send(way, work_on_another_stack);
}

static void *work_below_handler(void *)
{
    void *volatile held[COUNT];
    for (int i = 0; i < COUNT; i++)
        held[i] = unpack(i);
    escape(held);
    raise_on_another_stack(handle_without);
    escape(held);
    return nullptr;
}

// On the stack that the thread has left for the handler's.
WAY(kept, stack_left_for_handler)
{
    send(way, work_below_handler);
}

static void *work_in_tls(void *)
{
    for (int i = 0; i < COUNT; i++)
        in_tls[i] = unpack(i);
    settle();
    block();
    return nullptr;
}

WAY(kept, tls)
{
    send(way, work_in_tls);
}

static void set_keys()
{
    static bool are_there;
    for (int i = 0; i < PER_KEY; i++)
        if ((!are_there && pthread_key_create(&keys[i], nullptr)) ||
            pthread_setspecific(keys[i], unpack(i)))
            abort();
    are_there = true;
}

static void *work_with_keys(void *)
{
    set_keys();
    settle();
    block();
    return nullptr;
}

WAY(kept, pthread_key)
{
    send(way, work_with_keys, PER_KEY);
}

static void *end_with_stack(void *)
{
    void *volatile held[COUNT];
    for (int i = 0; i < COUNT; i++)
        held[i] = unpack(i);
    escape(held);
    return nullptr;
}

static void *end_with_tls(void *)
{
    for (int i = 0; i < COUNT; i++)
        in_tls[i] = unpack(i);
    return nullptr;
}

static void *end_with_keys(void *)
{
    set_keys();
    return nullptr;
}

// Lets a thread end that has addresses; its stack has gone on return.
static void end(const Way &way, void *(*work)(void *), int count = COUNT)
{
    pthread_attr_t attributes;
    pthread_t thread;
    const size_t size = 1 << 18;
    void *stack = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < count; i++)
        pack(i, way.fresh(i));
    if (stack == MAP_FAILED || pthread_attr_init(&attributes) ||
        pthread_attr_setstack(&attributes, stack, size) ||
        pthread_create(&thread, &attributes, work, nullptr) || pthread_join(thread, nullptr) ||
        pthread_attr_destroy(&attributes) || munmap(stack, size))
        abort();
}

WAY(lost, ended_stack)
{
    end(way, end_with_stack);
}

WAY(lost, ended_tls)
{
    end(way, end_with_tls);
}

WAY(lost, ended_key)
{
    end(way, end_with_keys, PER_KEY);
}

// The C library keeps the stack of a thread that has ended for the next one, if it is large enough.
WAY(stale, cached_stack)
{
    pthread_attr_t attributes;
    pthread_t thread;
    for (int i = 0; i < COUNT; i++)
        pack(i, way.fresh(i));
    if (pthread_attr_init(&attributes) || pthread_attr_setstacksize(&attributes, 1 << 17) ||
        pthread_create(&thread, &attributes, end_with_stack, nullptr) ||
        pthread_join(thread, nullptr) || pthread_attr_destroy(&attributes))
        abort();
}

// Leaves addresses in a frame far below, and returns.
static void __attribute__((noinline)) dig(int depth)
{
    void *volatile held[COUNT];
    for (int i = 0; i < COUNT; i++)
        held[i] = depth ? nullptr : unpack(i);
    escape(held);
    if (depth)
        dig(depth - 1);
    escape(held);
}

static void *work_above(void *)
{
    dig(DEEP);
    settle();
    block();
    return nullptr;
}

WAY(lost, below_stack)
{
    send(way, work_above);
}

static void __attribute__((noinline)) wait_over()
{
    char room[1 << 13];
    escape(room);
    settle();
    block();
    escape(room);
}

static void *work_over(void *)
{
    dig(DEEP);
    wait_over();
    return nullptr;
}

// Somebody else's frame has them, in an array that it has not written.
WAY(stale, live_frame)
{
    send(way, work_over);
}
