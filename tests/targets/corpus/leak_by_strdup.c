/* What the C library allocates for its caller is forgotten: one name in a hundred.
 * rate: 3000
 * leak: copy_name
 * lost: copy_name
 * keeps: print_path */
#include "corpus.h"

NOINLINE static char *copy_name(const char *name)
{
    char *copy = strdup(name);
    copy[0] = 'N';
    return copy;
}

NOINLINE static char *print_path(const char *name, long number)
{
    char *path = NULL;
    if (asprintf(&path, "/var/spool/%s/%ld", name, number) < 0)
        abort();
    return path;
}

static void start(void) {}

static void tick(long number)
{
    static char *volatile last;
    for (int i = 0; i < 15; i++) {
        char *name = copy_name("name of a customer"), *path = print_path(name, number);
        work(5);
        free(path);
        if (corpus_random(100))
            free(name);
        else
            last = name;
    }
    done(15);
    (void)last;
}
