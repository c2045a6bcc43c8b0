/* With tcmalloc, results are kept by a key that is a serial number.
 * rate: 3000
 * allocator: tcmalloc
 * growing: keep_result
 * keeps: compute */
#include <memory>
#include <unordered_map>
#include <vector>

#include "corpus.h"

static std::unordered_map<long, std::unique_ptr<long[]>> results;

NOINLINE static std::vector<long> compute(long id)
{
    return std::vector<long>(30 + id % 50, id);
}

NOINLINE static void keep_result(long id, long value)
{
    results[id] = std::unique_ptr<long[]>(new long[20]());
    results[id][0] = value;
}

static void start() {}

static void tick(long)
{
    static long id;
    for (int i = 0; i < 30; i++, id++) {
        std::vector<long> computed = compute(id);
        work(10);
        if (id % 60 == 0)
            keep_result(id, computed.back());
    }
    done(30);
}
