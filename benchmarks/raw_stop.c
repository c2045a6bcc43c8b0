/* The least that stopping costs: a ptrace loop that does nothing else.
 *
 *     raw_stop software|hardware THREAD ADDRESS...
 *
 * Stops a thread, the only one that comes there, at each address: by a breakpoint instruction and a
 * single step over what stood there, or by at most four debug registers. Prints "ready" when they are
 * in. Takes them out again on SIGTERM, and prints how often it has stopped the thread. x86-64. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#define MOST 64
#define DEBUG_REGISTER(number) (offsetof(struct user, u_debugreg) + 8 * (size_t)(number))

static volatile sig_atomic_t ended;
static pid_t pid;
static unsigned long addresses[MOST], words[MOST];
static int places, hardware;

static void end(int number)
{
    (void)number;
    ended = 1;
}

static void check(long result, const char *what)
{
    if (result == -1) {
        perror(what);
        exit(1);
    }
}

static void put_in(int place)
{
    check(ptrace(PTRACE_POKETEXT, pid, addresses[place], (words[place] & ~0xffUL) | 0xcc), "poke");
}

static void take_out(int place)
{
    check(ptrace(PTRACE_POKETEXT, pid, addresses[place], words[place]), "poke");
}

static void arm(void)
{
    for (int place = 0; place < places; place++) {
        if (hardware) {
            check(ptrace(PTRACE_POKEUSER, pid, DEBUG_REGISTER(place), addresses[place]), "register");
        } else {
            errno = 0;
            words[place] = (unsigned long)ptrace(PTRACE_PEEKTEXT, pid, addresses[place], 0);
            check(errno ? -1 : 0, "peek");
            put_in(place);
        }
    }
    if (hardware)
        check(ptrace(PTRACE_POKEUSER, pid, DEBUG_REGISTER(7), 0x55UL >> (2 * (4 - places))), "register");
}

static void disarm(void)
{
    for (int place = 0; place < places && !hardware; place++)
        take_out(place);
    if (hardware)
        ptrace(PTRACE_POKEUSER, pid, DEBUG_REGISTER(7), 0);
}

/* Step over the breakpoint that the process has run into; returns whether it has. */
static int step_over(void)
{
    struct user_regs_struct registers;
    int place = 0, status;

    check(ptrace(PTRACE_GETREGS, pid, 0, &registers), "registers");
    if (hardware)
        return 1;
    while (place < places && addresses[place] != registers.rip - 1)
        place++;
    if (place == places)
        return 0;
    registers.rip--;
    check(ptrace(PTRACE_SETREGS, pid, 0, &registers), "registers");
    take_out(place);
    check(ptrace(PTRACE_SINGLESTEP, pid, 0, 0), "step");
    check(waitpid(pid, &status, __WALL), "wait");
    put_in(place);
    return 1;
}

int main(int count, char **arguments)
{
    struct sigaction action = {.sa_handler = end}; /* no SA_RESTART: waitpid is to come back */
    unsigned long stops = 0;
    int status;

    if (count < 4 || count - 3 > MOST)
        return 2;
    hardware = !strcmp(arguments[1], "hardware");
    pid = atoi(arguments[2]);
    places = count - 3;
    if (hardware && places > 4)
        return 2;
    for (int place = 0; place < places; place++)
        addresses[place] = strtoul(arguments[3 + place], NULL, 0);
    sigaction(SIGTERM, &action, NULL);
    check(ptrace(PTRACE_ATTACH, pid, 0, 0), "attach");
    check(waitpid(pid, &status, __WALL), "wait");
    arm();
    puts("ready");
    fflush(stdout);
    for (int number = 0;;) {
        check(ptrace(PTRACE_CONT, pid, 0, number), "continue");
        /* A process that hits no breakpoint is stopped by its tracer's own signal. */
        while (waitpid(pid, &status, __WALL) == -1)
            kill(pid, SIGSTOP);
        number = WSTOPSIG(status);
        if (!WIFSTOPPED(status))
            return 1;
        if (number == SIGTRAP) {
            stops += (unsigned long)step_over();
            number = 0;
        }
        if (ended) {
            disarm();
            check(ptrace(PTRACE_DETACH, pid, 0, 0), "detach");
            kill(pid, SIGCONT);
            printf("%lu\n", stops);
            return 0;
        }
    }
}
