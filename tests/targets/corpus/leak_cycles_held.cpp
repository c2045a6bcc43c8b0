/* Sessions hold themselves by the callback that they have registered for what never comes.
 * rate: 300
 * growing: open_session
 * keeps: make_message */
#include <functional>
#include <memory>
#include <vector>

#include "corpus.h"

struct session {
    std::function<void()> when_told;
    char data[100];
};

static std::vector<std::shared_ptr<session>> observers;

NOINLINE static void open_session()
{
    auto opened = std::make_shared<session>();
    opened->when_told = [opened] { opened->data[0]++; };
    observers.push_back(opened);
}

NOINLINE static void *make_message()
{
    return use(malloc(250), 250);
}

static void start() {}

static void tick(long number)
{
    for (int i = 0; i < 3; i++) {
        void *message = make_message();
        work(20);
        free(message);
    }
    if (number % 10 == 0)
        open_session();
    done(3);
}
