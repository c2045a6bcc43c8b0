/* Sessions are closed after five seconds. One in fifty is not: it stays in the map in which all of them are.
 * rate: 300
 * leak: open_session
 * keeps: read_request */
#include <map>
#include <memory>

#include "corpus.h"

struct session {
    char state[160];
};

static std::map<long, std::unique_ptr<session>> sessions;

NOINLINE static void open_session(long id)
{
    sessions[id] = std::unique_ptr<session>(new session());
}

NOINLINE static void *read_request()
{
    return use(malloc(400), 400);
}

static void start()
{
    for (long id = -5 * HZ; id < 0; id++)
        open_session(id);
}

static void tick(long number)
{
    void *request = read_request();
    open_session(number);
    if (number % 50 != 7)
        sessions.erase(number - 5 * HZ);
    work(10);
    free(request);
}
