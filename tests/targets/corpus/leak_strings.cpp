/* Arrays of characters are handed out as plain pointers, and one in fifty is forgotten by who got it;
 * as fast as it can be done in 60 % of the time.
 * rate: 20000
 * leak: to_text
 * lost: to_text
 * keeps: join */
#include <string>
#include <vector>

#include "corpus.h"

NOINLINE static char *to_text(const std::string &from)
{
    char *text = new char[from.size() + 1];
    memcpy(text, from.c_str(), from.size() + 1);
    return text;
}

NOINLINE static std::string join(const std::vector<std::string> &parts)
{
    std::string joined;
    for (const std::string &part : parts)
        joined += part + ", ";
    return joined;
}

static void start() {}

static void tick(long)
{
    static char *volatile last;
    const std::vector<std::string> parts = {"the first of the parts of it", "and another one"};
    long began = corpus_now();
    while (within(began, 60)) {
        char *text = to_text(join(parts));
        work(120);
        if (corpus_random(50))
            delete[] text;
        else
            last = text;
        done(1);
    }
    (void)last;
}
