/* Each request is entered into a map by a key that never comes again, and nobody removes it.
 * rate: 6000
 * growing: count_request
 * keeps: make_answer */
#include <map>
#include <string>

#include "corpus.h"

static std::map<std::string, long> counts;

NOINLINE static void count_request(long id)
{
    counts["request/" + std::to_string(id) + "/from/somewhere"]++;
}

NOINLINE static std::string make_answer(long id)
{
    return std::string(300 + id % 100, 'a');
}

static void start() {}

static void tick(long)
{
    static long id;
    for (int i = 0; i < 20; i++) {
        std::string answer = make_answer(id);
        count_request(id++);
        work(10);
    }
    done(20);
}
