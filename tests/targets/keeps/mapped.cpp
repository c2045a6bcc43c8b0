// Blocks that memory outside of the heap and of the program's data keeps.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keeps.h"

enum { PAGE = 4096 };

static void **map(int flags, int file = -1)
{
    void *page = mmap(nullptr, PAGE, PROT_READ | PROT_WRITE, flags, file, 0);
    if (page == MAP_FAILED || (file >= 0 && close(file)))
        abort();
    return static_cast<void **>(page);
}

static int open_file(bool keep_name)
{
    char name[400];
    snprintf(name, sizeof name, "%s/keeps-XXXXXX", folder);
    const int file = mkstemp(name);
    if (file < 0 || ftruncate(file, PAGE) || (!keep_name && unlink(name)))
        abort();
    return file;
}

static void put(const Way &way, void **page, int protection = PROT_READ | PROT_WRITE)
{
    for (int i = 0; i < COUNT; i++)
        page[17 * i] = way.fresh(i);
    escape(page);
    if (mprotect(page, PAGE, protection))
        abort();
}

WAY(kept, anonymous)
{
    put(way, map(MAP_PRIVATE | MAP_ANONYMOUS));
}

WAY(kept, read_only)
{
    put(way, map(MAP_PRIVATE | MAP_ANONYMOUS), PROT_READ);
}

WAY(kept, executable)
{
    put(way, map(MAP_PRIVATE | MAP_ANONYMOUS), PROT_READ | PROT_EXEC);
}

WAY(kept, shared_anonymous)
{
    put(way, map(MAP_SHARED | MAP_ANONYMOUS));
}

WAY(kept, shared_file)
{
    put(way, map(MAP_SHARED, open_file(true)));
}

WAY(kept, shared_unlinked)
{
    put(way, map(MAP_SHARED, open_file(false)));
}

WAY(kept, shared_read_only)
{
    put(way, map(MAP_SHARED, open_file(true)), PROT_READ);
}

WAY(kept, memfd)
{
    const int file = static_cast<int>(syscall(SYS_memfd_create, "keeps", 0));
    if (ftruncate(file, PAGE))
        abort();
    put(way, map(MAP_SHARED, file));
}

WAY(kept, private_file)
{
    put(way, map(MAP_PRIVATE, open_file(true)));
}

// As the data of a library that the loader makes read-only once it has written it.
WAY(kept, private_read_only)
{
    put(way, map(MAP_PRIVATE, open_file(true)), PROT_READ);
}

WAY(hidden, no_access)
{
    put(way, map(MAP_PRIVATE | MAP_ANONYMOUS), PROT_NONE);
}
