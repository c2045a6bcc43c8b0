/* Letters that cannot be delivered, one in a hundred, go into a queue that nobody reads.
 * rate: 6000
 * growing: bury
 * keeps: make_letter */
#include <deque>
#include <memory>
#include <string>

#include "corpus.h"

struct letter {
    std::string to, text;
};

static std::deque<std::unique_ptr<letter>> dead;

NOINLINE static std::unique_ptr<letter> make_letter(long number)
{
    std::unique_ptr<letter> made(new letter);
    made->to = "somebody who lives at number " + std::to_string(number);
    return made;
}

NOINLINE static void bury(std::unique_ptr<letter> undelivered)
{
    std::unique_ptr<letter> copy(new letter(*undelivered));
    copy->text = std::string(200, '!');
    dead.push_back(std::move(copy));
}

static void start() {}

static void tick(long number)
{
    for (int i = 0; i < 30; i++) {
        std::unique_ptr<letter> one = make_letter(number);
        work(5);
        if (corpus_random(100) == 0)
            bury(std::move(one));
    }
    done(30);
}
