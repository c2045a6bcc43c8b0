/* Parents and children share each other. One in thirty is not taken apart before it is dropped: all call
 * stacks lose the same share of their blocks.
 * rate: 3000
 * leak: make_family
 * lost: make_family */
#include <memory>
#include <vector>

#include "corpus.h"

struct person {
    std::vector<std::shared_ptr<person>> children;
    std::shared_ptr<person> parent;
};

NOINLINE static std::shared_ptr<person> make_family()
{
    auto parent = std::make_shared<person>();
    for (int i = 0; i < 3; i++) {
        auto child = std::make_shared<person>();
        child->parent = parent;
        parent->children.push_back(child);
    }
    return parent;
}

static void start() {}

static void tick(long)
{
    for (int i = 0; i < 5; i++) {
        auto parent = make_family();
        work(20);
        if (corpus_random(30))
            parent->children.clear();
    }
    done(5);
}
