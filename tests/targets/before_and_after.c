/* Two builds of one program: with -DFIXED it frees what it forgot before, and forgets something else. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define NOINLINE __attribute__((noinline))

#ifdef FIXED
/* These lines
 * move all
 * the others. */
NOINLINE static void *volatile_cache(void)
{
    void *volatile block = malloc(48);
    return block;
}
#endif

NOINLINE static void *open_session(void)
{
    void *volatile block = malloc(100);
    return block;
}

NOINLINE static void *log_line(void)
{
    void *volatile block = malloc(70);
    return block;
}

int main(void)
{
    struct pollfd input = {0, POLLIN, 0};

    puts("ready");
    fflush(stdout);
    while (poll(&input, 1, 10) == 0) {
        void *session = open_session();
        log_line();
#ifdef FIXED
        free(session);
        volatile_cache();
#else
        (void)session;
#endif
    }
    return EXIT_SUCCESS;
}
