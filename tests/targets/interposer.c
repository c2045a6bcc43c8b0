/* A malloc that is preloaded before another and hands on to it: with a header of its own before each
 * block, or, with -DBARE, by a jump alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#ifdef BARE
enum { HEADER = 0 };
#else
enum { HEADER = 64 };
#endif

static void *(*real_malloc)(size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);

static __attribute__((constructor)) void find_real(void)
{
    real_malloc = dlsym(RTLD_NEXT, "malloc");
    real_realloc = dlsym(RTLD_NEXT, "realloc");
    real_free = dlsym(RTLD_NEXT, "free");
}

static void *behind_header(char *block)
{
    return block ? block + HEADER : NULL;
}

void *malloc(size_t size)
{
    if (!real_malloc)
        find_real();
    return HEADER ? behind_header(real_malloc(size + HEADER)) : real_malloc(size);
}

void *realloc(void *block, size_t size)
{
    if (!real_realloc)
        find_real();
    if (!HEADER)
        return real_realloc(block, size);
    return behind_header(real_realloc(block ? (char *)block - HEADER : NULL, size + HEADER));
}

void free(void *block)
{
    if (block)
        real_free((char *)block - HEADER);
}

void *calloc(size_t count, size_t size)
{
    void *block = malloc(count * size);

    return block ? memset(block, 0, count * size) : NULL;
}

int posix_memalign(void **result, size_t alignment, size_t size)
{
    (void)alignment; /* up to HEADER, which is all that is asked for here */
    *result = malloc(size);
    return *result ? 0 : ENOMEM;
}
