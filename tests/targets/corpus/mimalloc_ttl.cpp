/* With mimalloc, entries of a map expire after twenty seconds.
 * rate: 3000
 * allocator: mimalloc
 * keeps: remember
 * keeps: make_answer */
#include <map>
#include <string>

#include "corpus.h"

static std::map<long, std::string> entries;

NOINLINE static void remember(long id)
{
    entries[id] = std::string(60 + id % 90, 'e');
    entries.erase(id - 20 * 500);
}

NOINLINE static std::string make_answer(long id)
{
    return std::string(300 + id % 200, 'a');
}

static void start()
{
    for (long id = 0; id < 20 * 500; id++)
        remember(id);
}

static void tick(long)
{
    static long id = 20 * 500;
    for (int i = 0; i < 5; i++, id++) {
        for (int j = 0; j < 4; j++)
            make_answer(id + j);
        remember(id);
        work(20);
    }
    done(5);
}
