/* A hundred thousand events a second. One in 2,000 is of a new client, whose name is put into a table that nobody
 * ever removes it from.
 * rate: 100000
 * growing: remember_client
 * keeps: read_event */
#include <string>
#include <unordered_map>

#include "corpus.h"

static std::unordered_map<std::string, long> clients;

NOINLINE static void *read_event()
{
    return use(malloc(80 + corpus_random(100)), 80);
}

NOINLINE static void remember_client(long id)
{
    clients["the client that has the number " + std::to_string(id)] = id;
}

static void start() {}

static void tick(long)
{
    static long id;
    for (int i = 0; i < 1000; i++) {
        void *event = read_event();
        work(1);
        if (++id % 2000 == 0)
            remember_client(id);
        free(event);
    }
    done(1000);
}
