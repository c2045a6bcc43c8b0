/* Allocates as it is told to, and notes what it did, for a recorder that was written into it to be
 * compared with; see support/probed.py. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Walloc-size-larger-than="
#pragma GCC diagnostic ignored "-Wuse-after-free"

enum { MAX_THREADS = 64, NOTES = 1 << 17, PAGE = 4096, SLOTS = 256 };

/* What a thread did, as an event of the recorder should say. */
enum role { ENTRY, CALL, RETURN };
struct note { uint64_t role, address, size, factor, usable, resized; };
struct log { uint64_t thread, count; struct note notes[NOTES]; };

static struct log *logs;
static __thread struct log *own;
static volatile uint64_t sink;

static void *anonymous(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        abort();
    return memory;
}

static void note_resize(enum role role, void *address, uint64_t size, uint64_t factor, int resized)
{
    if (own && own->count < NOTES)
        own->notes[own->count++] = (struct note){role, (uintptr_t)address, size, factor,
                                                 malloc_usable_size(address), resized};
}

static void note(enum role role, void *address, uint64_t size, uint64_t factor)
{
    note_resize(role, address, size, factor, 0);
}

static void *noted_malloc(size_t size)
{
    void *block = malloc(size);
    if (block)
        note(CALL, block, size, 1);
    return block;
}

static void noted_free(void *block)
{
    if (block)
        note(ENTRY, block, 0, 0);
    free(block);
}

static void *noted_realloc(void *block, size_t size)
{
    if (block)
        note(ENTRY, block, 0, 0);
    void *result = realloc(block, size);
    note_resize(RETURN, result, size, 1, block != NULL);
    return result;
}

static void *noted_reallocarray(void *block, size_t count, size_t size)
{
    if (block)
        note(ENTRY, block, 0, 0);
    void *result = reallocarray(block, count, size);
    note_resize(RETURN, result, size, count, block != NULL);
    return result;
}

static void *noted_other(unsigned which, size_t size)
{
    void *block = NULL;
    size_t factor = 1;
    switch (which % 6) {
    case 0:
        block = calloc(factor = 1 + which % 7, size);
        break;
    case 1:
        if (posix_memalign(&block, 64, size))
            block = NULL;
        break;
    case 2:
        block = aligned_alloc(32, size = (size + 31) / 32 * 32);
        break;
    case 3:
        block = memalign(128, size);
        break;
    case 4:
        block = valloc(size);
        break;
    case 5:
        block = pvalloc(size);
        break;
    }
    if (block)
        note(CALL, block, size, factor);
    return block;
}

/* What is asked for in vain. */
static void fail(void)
{
    void *block = (void *)1;
    volatile size_t huge = (size_t)PTRDIFF_MAX, most = SIZE_MAX;
    if (malloc(huge) || calloc(most, 16) || calloc(huge, 1) || memalign(64, huge) ||
        aligned_alloc(64, huge) || valloc(huge) || pvalloc(huge) ||
        !posix_memalign(&block, 64, huge) || !posix_memalign(&block, 3, 8) || block != (void *)1)
        abort();
    free(NULL);
    block = noted_malloc(24);
    if (noted_realloc(block, huge) || noted_reallocarray(block, most, 16))
        abort();
    noted_free(block);
    noted_realloc(noted_malloc(40), 0);
}

/* Everything there is, at random but the same each time. */
static void mix(unsigned seed, unsigned rounds)
{
    void *slots[SLOTS] = {0};
    uint32_t random = seed * 2654435761u + 1;
    for (unsigned i = 0; i < rounds; i++) {
        random = random * 1664525 + 1013904223;
        void **slot = &slots[random >> 24];
        size_t size = random >> 8 & 0x3ff;
        if (i % 512 == 0)
            size = 200000 + i; /* from the kernel */
        switch (random >> 4 & 7) {
        case 0:
        case 1:
        case 2:
            noted_free(*slot);
            *slot = noted_malloc(size);
            break;
        case 3:
            *slot = noted_realloc(*slot, size + 1);
            break;
        case 4:
            *slot = noted_reallocarray(*slot, 3, size + 1);
            break;
        case 5:
            noted_free(*slot);
            *slot = noted_other(random >> 12, size + 1);
            break;
        default:
            noted_free(*slot);
            *slot = NULL;
        }
        if (i % 64 == 0)
            fail();
    }
    for (unsigned i = 0; i < SLOTS; i++)
        noted_free(slots[i]);
}

/* Say from time to time that everything in the ring was read. */
static volatile uint64_t *ring_head;

static void drain(void)
{
    if (ring_head) {
        ring_head[0x80 / 8] = ring_head[0x40 / 8];
        ring_head[0x100 / 8] = 0;
    }
}

static void pairs(unsigned long count, size_t size)
{
    for (unsigned long i = 0; i < count; i++) {
        void *block = malloc(size);
        sink += (uintptr_t)block;
        free(block);
        if (i % 256 == 0)
            drain();
    }
}

static void noted_pairs(unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) {
        void *block = noted_malloc(16 + i % 1000);
        noted_free(noted_malloc(32));
        noted_free(block);
    }
}

/* Threads that are there before recording begins, so that nothing but their work is recorded. */
static pthread_barrier_t begin, end;
static unsigned long work_count;
static enum { MIX, PAIRS, BENCH } work;
static double cpu_ns[MAX_THREADS];
static unsigned threads;

static double cpu_time_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static void *serve(void *argument)
{
    unsigned number = (uintptr_t)argument;
    for (;;) {
        pthread_barrier_wait(&begin);
        double before = cpu_time_ns();
        own = &logs[number];
        own->thread = pthread_self();
        switch (work) {
        case MIX:
            mix(number, work_count);
            break;
        case PAIRS:
            noted_pairs(work_count);
            break;
        case BENCH:
            pairs(work_count, 64);
            break;
        }
        cpu_ns[number] = cpu_time_ns() - before;
        own = NULL;
        pthread_barrier_wait(&end);
    }
    return NULL;
}

static void start_threads(unsigned count)
{
    threads = count;
    pthread_barrier_init(&begin, NULL, count + 1);
    pthread_barrier_init(&end, NULL, count + 1);
    for (unsigned i = 0; i < count; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, (void *)(uintptr_t)(i + 1)))
            abort();
    }
}

static void run_threads(int what, unsigned long count)
{
    work = what;
    work_count = count;
    pthread_barrier_wait(&begin);
    pthread_barrier_wait(&end);
}

static double mean_cpu_ns(void)
{
    double sum = 0;
    for (unsigned i = 1; i <= threads; i++)
        sum += cpu_ns[i];
    return sum / threads;
}

/* On a stack of one page, with a guard page behind its end. */
static ucontext_t outside, inside;

static void in_coroutine(void)
{
    own = &logs[0];
    void *block = noted_malloc(100);
    block = noted_realloc(block, 2000);
    noted_free(block);
    own = NULL;
}

static void run_coroutine(void)
{
    char *stack = anonymous(3 * PAGE);
    mprotect(stack, PAGE, PROT_NONE);
    mprotect(stack + 2 * PAGE, PAGE, PROT_NONE);
    getcontext(&inside);
    inside.uc_stack.ss_sp = stack + PAGE;
    inside.uc_stack.ss_size = PAGE;
    inside.uc_link = &outside;
    makecontext(&inside, in_coroutine, 0);
    swapcontext(&outside, &inside);
    munmap(stack, 3 * PAGE);
}

/* A handler on a stack of its own, which takes memory itself. */
static void allocate_there(int signal)
{
    (void)signal;
    own = &logs[0];
    void *block = noted_malloc(50);
    noted_free(noted_realloc(block, 500));
    own = NULL;
}

static void run_on_signal_stack(void)
{
    stack_t stack = {.ss_sp = anonymous(16 * PAGE), .ss_size = 16 * PAGE};
    struct sigaction action = {.sa_handler = allocate_there, .sa_flags = SA_ONSTACK};
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
}

/* Stepping: a signal handler at every instruction that lies in the image. */
static uintptr_t image_start, image_end;
static unsigned long steps;
static unsigned children;
static enum { ALLOCATE, FORK, JUMP } at_each_step;
static sigjmp_buf back;
static long jump_at;

/* What a handler may overwrite. */
static void __attribute__((noinline)) overwrite_stack(void)
{
    volatile char junk[2048];
    for (unsigned i = 0; i < sizeof junk; i++)
        junk[i] = (char)0xdb;
}

static void step(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uintptr_t pc = registers[REG_RIP];
    if (pc < image_start || pc >= image_end)
        return;
    steps++;
    overwrite_stack();
    if (at_each_step == ALLOCATE) {
        free(malloc(48));
    } else if (at_each_step == FORK) {
        pid_t child = fork();
        if (!child) {
            registers[REG_EFL] &= ~0x100L;
            children = 1;
        } else {
            int status;
            if (waitpid(child, &status, 0) != child || status)
                abort();
        }
    } else if ((long)steps == jump_at) {
        siglongjmp(back, 1);
    }
}

static void set_stepping(int on)
{
    if (on)
        asm volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
    else
        asm volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
}

static void __attribute__((noinline)) stepped(void *(*function)(void *), void *argument)
{
    set_stepping(1);
    sink += (uintptr_t)function(argument);
    set_stepping(0);
    if (children) /* of fork: it came through, and records nothing */
        _exit(0);
}

static void *step_malloc(void *unused) { (void)unused; return malloc(100); }
static void *step_realloc(void *block) { return realloc(block, 300); }
static void *step_free(void *block) { free(block); return NULL; }
static void *step_aligned(void *block)
{
    return posix_memalign((void **)block, 64, 100) ? NULL : *(void **)block;
}

static void step_through(void)
{
    struct sigaction action = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &action, NULL);
    steps = 0;
    stepped(step_malloc, NULL);
    void *block = malloc(10);
    void *other;
    stepped(step_realloc, block);
    block = (void *)malloc(20);
    stepped(step_free, block);
    stepped(step_aligned, &other);
    free(other);
}

/* Leave a call of free at every instruction of the recorder. */
static void jump_through(void)
{
    struct sigaction action = {.sa_sigaction = step, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGTRAP, &action, NULL);
    for (jump_at = 1;; jump_at++) {
        void *block = malloc(20);
        steps = 0;
        if (!sigsetjmp(back, 1)) {
            stepped(step_free, block);
            break;
        }
        set_stepping(0);
    }
}

/* A routine of the image: set there with known registers, compare them afterwards. */
struct state {
    uint64_t registers[16], flags, red_zone[16];
    unsigned char vectors[16][16];
};
static struct state before __attribute__((used)), after __attribute__((used));
static uint64_t routine __attribute__((used)), came_again __attribute__((used));
static uint64_t kept_stack __attribute__((used));

#define EACH_REGISTER(do)                                                                           \
    do("rax", "0") do("rbx", "8") do("rcx", "16") do("rdx", "24") do("rsi", "32") do("rdi", "40")   \
    do("rbp", "48") do("r8", "64") do("r9", "72") do("r10", "80") do("r11", "88") do("r12", "96")   \
    do("r13", "104") do("r14", "112") do("r15", "120")
#define LOAD(name, offset) "mov before+" offset "(%rip), %" name "\n"
#define STORE(name, offset) "mov %" name ", after+" offset "(%rip)\n"

asm(".text\n"
    "enter_routine:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "mov %rsp, kept_stack(%rip)\n"
    "mov %rsp, before+56(%rip)\n"
    "xor %ecx, %ecx\n"
    "1: lea before+264(%rip), %rax\n"
    "mov %rcx, %rdx; shl $4, %rdx; movups (%rax,%rdx), %xmm0\n"
    "inc %ecx; cmp $16, %ecx; jne 1b\n"
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
    "movups before+264+16*\\n(%rip), %xmm\\n\n"
    ".endr\n"
    "push before+128(%rip); popfq\n"
    "mov $0, %ecx\n"
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
    "mov before+136+8*\\n(%rip), %rax; mov %rax, -128+8*\\n(%rsp)\n"
    ".endr\n"
    EACH_REGISTER(LOAD)
    "jmp *routine(%rip)\n"
    "resumed_again: movq $1, came_again(%rip)\n"
    "resumed:\n"
    EACH_REGISTER(STORE)
    "mov %rsp, after+56(%rip)\n"
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
    "mov -128+8*\\n(%rsp), %rax; mov %rax, after+136+8*\\n(%rip)\n"
    "movups %xmm\\n, after+264+16*\\n(%rip)\n"
    ".endr\n"
    "mov kept_stack(%rip), %rsp\n"
    "pushfq; pop after+128(%rip); cld\n"
    "andq $~0x100, after+128(%rip); push after+128(%rip); popfq; cld\n"
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "ret\n");
void enter_routine(void);
extern char resumed[], resumed_again[];

static const char *enter(uint64_t address, int stepping)
{
    enum { CARRY_PARITY_ADJUST_SIGN_DIRECTION_OVERFLOW = 0xc97 };
    struct sigaction action = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &action, NULL);
    at_each_step = ALLOCATE;
    unsigned char *bytes = (unsigned char *)&before;
    for (unsigned i = 0; i < sizeof before; i++)
        bytes[i] = (unsigned char)(i * 37 + 11);
    before.flags = CARRY_PARITY_ADJUST_SIGN_DIRECTION_OVERFLOW | 0x200 | (stepping ? 0x100 : 0);
    routine = address;
    came_again = 0;
    steps = 0;
    enter_routine();
    before.flags &= ~0x100ul;
    return memcmp(&before, &after, sizeof before) ? "changed" : came_again ? "again" : "once";
}

/* A stack whose content is known. */
static unsigned long __attribute__((noinline)) with_pattern(unsigned words)
{
    volatile uint64_t pattern[words];
    for (unsigned i = 0; i < words; i++)
        pattern[i] = 0x5eed00000000 + i;
    own = &logs[0];
    noted_free(noted_malloc(77));
    own = NULL;
    return pattern[words - 1];
}

/* Threads that come and go, each with something to free. */
static void *live_briefly(void *block)
{
    free(block);
    return malloc(50);
}

static void churn(unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) {
        pthread_t running[8];
        for (unsigned j = 0; j < 8; j++)
            if (pthread_create(&running[j], NULL, live_briefly, malloc(40)))
                abort();
        for (unsigned j = 0; j < 8; j++) {
            void *block;
            pthread_join(running[j], &block);
            free(block);
        }
    }
}

static void run_fork(int *answer)
{
    pid_t child = fork();
    if (!child) {
        pairs(1000, 100);
        _exit(0);
    }
    waitpid(child, answer, 0);
}

int main(void)
{
    static char input[BUFSIZ], output[BUFSIZ];
    char line[200], word[32];
    unsigned long a, b;
    setvbuf(stdin, input, _IOFBF, sizeof input);
    setvbuf(stdout, output, _IOFBF, sizeof output);
    logs = anonymous(MAX_THREADS * sizeof *logs);
    logs[0].thread = pthread_self();
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        int status = 0;
        a = b = 0;
        sscanf(line, "%31s %lu %lu", word, &a, &b);
        if (!strcmp(word, "where")) {
            printf("%lu %lu %lu %lu\n", (uintptr_t)logs, sizeof *logs, (uintptr_t)resumed,
                   (uintptr_t)resumed_again);
        } else if (!strcmp(word, "image")) {
            image_start = a;
            image_end = b;
            puts("ok");
        } else if (!strcmp(word, "enter")) {
            printf("%s\n", enter(a, b));
        } else if (!strcmp(word, "threads")) {
            start_threads(a);
            puts("ok");
        } else if (!strcmp(word, "drain")) {
            ring_head = (uint64_t *)a;
            puts("ok");
        } else if (!strcmp(word, "mix")) {
            own = &logs[0];
            mix(a, b);
            own = NULL;
            puts("ok");
        } else if (!strcmp(word, "pairs")) {
            own = &logs[0];
            noted_pairs(a);
            own = NULL;
            puts("ok");
        } else if (!strcmp(word, "unnoted")) {
            pairs(a, b);
            puts("ok");
        } else if (!strcmp(word, "crowd")) {
            run_threads(b, a);
            puts("ok");
        } else if (!strcmp(word, "churn")) {
            churn(a);
            puts("ok");
        } else if (!strcmp(word, "bench")) {
            run_threads(BENCH, a);
            printf("%.3f\n", mean_cpu_ns() / a);
        } else if (!strcmp(word, "coroutine")) {
            run_coroutine();
            puts("ok");
        } else if (!strcmp(word, "sigaltstack")) {
            run_on_signal_stack();
            puts("ok");
        } else if (!strcmp(word, "pattern")) {
            sink += with_pattern(a);
            puts("ok");
        } else if (!strcmp(word, "step")) {
            at_each_step = a;
            step_through();
            printf("%lu\n", steps);
        } else if (!strcmp(word, "leave")) {
            at_each_step = JUMP;
            jump_through();
            printf("%lu\n", steps);
        } else if (!strcmp(word, "fork")) {
            run_fork(&status);
            printf("%d\n", status);
        } else {
            return 2;
        }
        fflush(stdout);
    }
    return 0;
}
