/* A stripped module, loaded by dlopen, forgets one block in five. Only its entry has a name: what calls it
 * is what a person can look at.
 * module: loaded
 * leak: call_module
 * lost: call_module
 * keeps: read_request */
#include "corpus.h"

#ifdef MODULE
static NOINLINE void *compile(void)
{
    return use(malloc(150), 150);
}

__attribute__((visibility("default"))) void module_run(void)
{
    static void *volatile last;
    void *program = compile();
    if (corpus_random(5))
        free(program);
    else
        last = program;
    (void)last;
}

static void start(void) {}
static void tick(long number)
{
    (void)number;
}
#else
#include <dlfcn.h>

static void (*run)(void);

NOINLINE static void *read_request(void)
{
    return use(malloc(500), 500);
}

NOINLINE static void call_module(void)
{
    run();
    work(10);
}

static void start(void)
{
    char path[4096] = "";
    if (readlink("/proc/self/exe", path, sizeof path - 4) < 0)
        abort();
    void *module = dlopen(strcat(path, ".so"), RTLD_NOW);
    run = (void (*)(void))dlsym(module, "module_run");
}

static void tick(long number)
{
    if (number % 4)
        return;
    void *request = read_request();
    call_module();
    free(request);
}
#endif
