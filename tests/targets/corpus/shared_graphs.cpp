/* Graphs of objects that share each other, without a cycle; each is dropped as a whole after two seconds.
 * rate: 3000
 * keeps: make_graph */
#include <deque>
#include <memory>
#include <vector>

#include "corpus.h"

struct node {
    std::vector<std::shared_ptr<node>> to;
    std::weak_ptr<node> root;
};

static std::deque<std::shared_ptr<node>> graphs;

NOINLINE static std::shared_ptr<node> make_graph()
{
    auto root = std::make_shared<node>(), leaf = std::make_shared<node>();
    for (int i = 0; i < 6; i++) {
        auto child = std::make_shared<node>();
        child->root = root;
        child->to.push_back(leaf);
        root->to.push_back(child);
    }
    return root;
}

static void start() {}

static void tick(long)
{
    for (int i = 0; i < 2; i++) {
        graphs.push_back(make_graph());
        work(20);
        if (graphs.size() > 400)
            graphs.pop_front();
    }
    done(2);
}
