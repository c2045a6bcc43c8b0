/* Pairs of objects that share each other: nothing else refers to them.
 * leak: make_pair_of_nodes
 * lost: make_pair_of_nodes */
#include <memory>

#include "corpus.h"

struct node {
    std::shared_ptr<node> other;
    char data[64];
};

NOINLINE static void make_pair_of_nodes()
{
    auto one = std::make_shared<node>(), other = std::make_shared<node>();
    one->other = other;
    other->other = one;
}

static void start() {}

static void tick(long number)
{
    if (number % 5 == 0)
        make_pair_of_nodes();
}
