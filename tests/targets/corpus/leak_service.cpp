/* A service of 20,000 requests a second: one record in 200 is forgotten, and one session in 500 is left in a
 * map that everything can see.
 * rate: 66000
 * leak: load_record
 * lost: load_record
 * growing: keep_session
 * keeps: open_session
 * keeps: render */
#include <map>
#include <string>

#include "corpus.h"

struct record {
    char fields[120];
};

struct session {
    long id;
    char state[72];
};

std::map<long, session *> sessions;

NOINLINE static record *load_record(long id)
{
    record *loaded = new record();
    loaded->fields[0] = (char)id;
    return loaded;
}

NOINLINE static session *open_session(long id)
{
    session *opened = new session();
    opened->id = id;
    return opened;
}

NOINLINE static void keep_session(long id)
{
    session *kept = new session();
    kept->id = id;
    sessions[id] = kept;
}

NOINLINE static std::string render(const record *shown)
{
    return std::string(60 + shown->fields[0] % 60, 'r');
}

static void handle(long id)
{
    session *current = open_session(id);
    record *shown = load_record(id);
    std::string page = render(shown);
    work(3);
    if (id % 500 == 250)
        keep_session(id);
    if (id % 200)
        delete shown;
    delete current;
}

static void start() {}

static void tick(long)
{
    static long id;
    for (int i = 0; i < 200; i++)
        handle(++id);
    done(200);
}
