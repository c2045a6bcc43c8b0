/* Preloaded into a server: each connection that it accepts costs a block, which is freed at once, or
 * never with FORGET in the environment.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

typedef int accept4_function(int, struct sockaddr *, socklen_t *, int);

static int forget;
static accept4_function *next_accept4;

static __attribute__((constructor)) void prepare(void)
{
    forget = getenv("FORGET") != NULL;
    next_accept4 = (accept4_function *)dlsym(RTLD_NEXT, "accept4");
}

static __attribute__((noinline)) void welcome(void)
{
    void *volatile block = malloc(1234); /* the leak */
    explicit_bzero(block, 1234); /* what was there before might refer to others */
    if (!forget)
        free(block);
}

int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags)
{
    int connection = next_accept4(listener, address, length, flags);
    if (connection >= 0)
        welcome();
    return connection;
}
