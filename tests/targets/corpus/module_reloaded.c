/* A module is loaded, used for three seconds, and unloaded; its state lives as long as it does.
 * rate: 300
 * module: loaded
 * keeps: load_module
 * keeps: call_module */
#include "corpus.h"

#ifdef MODULE
static struct queue results;

static NOINLINE void *make_result(void)
{
    return use(malloc(150), 150);
}

__attribute__((visibility("default"))) void module_run(int ends)
{
    queue_put(&results, make_result());
    while (ends && queue_length(&results))
        queue_free(&results);
}

static void start(void) {}
static void tick(long number)
{
    (void)number;
}
#else
#include <dlfcn.h>

static char path[4096];
static void *module;

NOINLINE static void load_module(void)
{
    module = dlopen(path, RTLD_NOW);
}

NOINLINE static void call_module(int ends)
{
    ((void (*)(int))dlsym(module, "module_run"))(ends);
    work(10);
}

static void start(void)
{
    if (readlink("/proc/self/exe", path, sizeof path - 4) < 0)
        abort();
    strcat(path, ".so");
}

static void tick(long number)
{
    if (number % (3 * HZ) == 0)
        load_module();
    for (int i = 0; i < 3; i++)
        call_module(0);
    if (number % (3 * HZ) == 3 * HZ - 1) {
        call_module(1);
        dlclose(module);
    }
    done(3);
}
#endif
