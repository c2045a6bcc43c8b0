/* Blocks to which only what a search may overlook refers; and blocks whose memory was handed out again.
 *
 * "KIND" allocates COUNT blocks, and is answered with "ok":
 *     protected   their addresses are in memory that may not be accessed
 *     shared      in shared memory whose pages the kernel has taken from this process
 *     epoll       in what epoll gives back
 *     timer       in the values that timers send
 *     dropped     nowhere
 * "reuse" allocates COUNT blocks, frees them, and allocates large ones there; it is answered with the
 * addresses of the former, mixed with KEY.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { COUNT = 20, BYTES = 1500, AREA = 1 << 16, LARGE = 10000 };
static const uintptr_t KEY = 0x5555555555555555;

void *large[2 * COUNT * BYTES / LARGE];

static __attribute__((noinline)) void *make(void)
{
    char *block = malloc(BYTES);

    memset(block, 1, BYTES);
    return block;
}

static __attribute__((noinline)) void protect(void)
{
    void **area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (int i = 0; i < COUNT; i++)
        area[i] = make();
    mprotect(area, AREA, PROT_NONE);
}

static __attribute__((noinline)) void share(void)
{
    void **area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    for (int i = 0; i < COUNT; i++)
        area[i] = make();
    madvise(area, AREA, MADV_DONTNEED);
}

static __attribute__((noinline)) void poll_them(void)
{
    int all = epoll_create1(0);

    for (int i = 0; i < COUNT; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = make()};

        epoll_ctl(all, EPOLL_CTL_ADD, eventfd(0, 0), &event);
    }
}

static __attribute__((noinline)) void time_them(void)
{
    struct itimerspec far = {.it_value.tv_sec = 100000};

    for (int i = 0; i < COUNT; i++) {
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
        timer_t timer;

        event.sigev_value.sival_ptr = make();
        timer_create(CLOCK_MONOTONIC, &event, &timer);
        timer_settime(timer, 0, &far, NULL);
    }
}

static __attribute__((noinline)) void drop(void)
{
    for (int i = 0; i < COUNT; i++)
        make();
}

static __attribute__((noinline)) void reuse(void)
{
    static uintptr_t blocks[COUNT];

    for (int i = 0; i < COUNT; i++)
        blocks[i] = (uintptr_t)make() ^ KEY;
    for (int i = 0; i < COUNT; i++)
        free((void *)(blocks[i] ^ KEY));
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++)
        large[i] = malloc(LARGE);
    for (int i = 0; i < COUNT; i++)
        printf("%jx ", (uintmax_t)blocks[i]);
    printf("\n");
}

/* Overwrites what calls have left on the stack. */
static __attribute__((noinline)) void scrub(void)
{
    volatile char dead[8192];

    memset((void *)dead, 0, sizeof dead);
}

int main(void)
{
    static char line[64];
    static const struct {
        const char *name;
        void (*make)(void);
    } kinds[] = {{"protected", protect}, {"shared", share}, {"epoll", poll_them},
                 {"timer", time_them}, {"dropped", drop}};

    setvbuf(stdin, NULL, _IONBF, 0);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        if (strcmp(line, "reuse") == 0)
            reuse();
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            if (strcmp(line, kinds[i].name) == 0) {
                kinds[i].make();
                scrub();
                puts("ok");
            }
        }
        scrub();
        fflush(stdout);
    }
    return 0;
}
