/* The least that a tracer can do: breakpoints in a running thread, and nothing at a hit.
 *     raw_stop int3|hardware PID SECONDS ADDRESS...
 * int3: the byte put back, one step, the breakpoint put in again. hardware: debug registers, at
 * most four addresses; the kernel steps over them by itself. Follows only the thread PID. If it
 * dies, so does the target (PTRACE_O_EXITKILL). x86-64. Prints the number of hits. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 16, DEBUG_REGISTERS = 4 };

static volatile sig_atomic_t ending;
static pid_t target;
static int hardware, count;
static uintptr_t addresses[MOST];
static long originals[MOST];

static void end(int number)
{
    (void)number;
    ending = 1;
}

static void check(long result, const char *what)
{
    if (result == -1) {
        perror(what);
        exit(1);
    }
}

static void poke(int i, long word)
{
    check(ptrace(PTRACE_POKETEXT, target, addresses[i], word), "PTRACE_POKETEXT");
}

static long breakpoint(int i)
{
    return (originals[i] & ~0xffL) | 0xcc;
}

static void set_debug_register(int number, uintptr_t value)
{
    size_t place = offsetof(struct user, u_debugreg) + (size_t)number * sizeof(long);
    check(ptrace(PTRACE_POKEUSER, target, place, value), "PTRACE_POKEUSER");
}

static void insert(void)
{
    uintptr_t enabled = 0; /* DR7: local enable bits; kind 0 is execution, of length 1 */
    for (int i = 0; i < count; i++) {
        if (hardware) {
            set_debug_register(i, addresses[i]);
            enabled |= 1UL << (2 * i);
        } else {
            errno = 0;
            originals[i] = ptrace(PTRACE_PEEKTEXT, target, addresses[i], NULL);
            check(errno ? -1 : 0, "PTRACE_PEEKTEXT");
            poke(i, breakpoint(i));
        }
    }
    if (hardware)
        set_debug_register(7, enabled);
}

static void take_out(void)
{
    for (int i = 0; i < count; i++)
        if (!hardware)
            poke(i, originals[i]);
    if (hardware)
        set_debug_register(7, 0);
}

/* Wait for a stop; a signal of ours that interrupts the wait asks the target for one. */
static int wait_stop(void)
{
    int status;
    while (waitpid(target, &status, __WALL) == -1) {
        if (errno != EINTR)
            check(-1, "waitpid");
        check(ptrace(PTRACE_INTERRUPT, target, NULL, NULL), "PTRACE_INTERRUPT");
    }
    if (!WIFSTOPPED(status))
        exit(1); /* the target has ended */
    return status;
}

/* Return which breakpoint the target is at, and put its program counter on it; -1 for none. */
static int find_hit(int status)
{
    struct user_regs_struct registers;
    if (status >> 8 != SIGTRAP) /* with an event in the upper bits it is another stop */
        return -1;
    check(ptrace(PTRACE_GETREGS, target, NULL, &registers), "PTRACE_GETREGS");
    for (int i = 0; i < count; i++)
        if (registers.rip - (hardware ? 0 : 1) == addresses[i]) {
            if (!hardware) {
                registers.rip--;
                check(ptrace(PTRACE_SETREGS, target, NULL, &registers), "PTRACE_SETREGS");
            }
            return i;
        }
    return -1;
}

static void pass(int i)
{
    if (hardware)
        return;
    poke(i, originals[i]);
    check(ptrace(PTRACE_SINGLESTEP, target, NULL, NULL), "PTRACE_SINGLESTEP");
    wait_stop();
    poke(i, breakpoint(i));
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = end}; /* no SA_RESTART: it interrupts the wait */
    long hits = 0;

    if (argc < 5 || argc - 4 > MOST)
        return 2;
    hardware = !strcmp(argv[1], "hardware");
    target = atoi(argv[2]);
    for (count = 0; count < argc - 4; count++)
        addresses[count] = strtoul(argv[4 + count], NULL, 0);
    if (hardware && count > DEBUG_REGISTERS) {
        fprintf(stderr, "%d addresses, and the processor has %d debug registers\n", count,
                DEBUG_REGISTERS);
        return 1;
    }
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    check(ptrace(PTRACE_SEIZE, target, NULL, PTRACE_O_EXITKILL), "PTRACE_SEIZE");
    check(ptrace(PTRACE_INTERRUPT, target, NULL, NULL), "PTRACE_INTERRUPT");
    wait_stop();
    insert();
    alarm((unsigned)atoi(argv[3]));
    for (;;) {
        check(ptrace(PTRACE_CONT, target, NULL, NULL), "PTRACE_CONT");
        int hit = find_hit(wait_stop());
        if (hit >= 0) {
            hits++;
            if (!ending)
                pass(hit);
        }
        if (ending)
            break;
    }
    take_out();
    check(ptrace(PTRACE_DETACH, target, NULL, NULL), "PTRACE_DETACH");
    printf("%ld\n", hits);
    return 0;
}
