/* Documents are parsed into trees of 43 nodes, looked at, and freed, as fast as it can be done in 60 % of the
 * time.
 * rate: 100000
 * keeps: parse_node
 * keeps: parse_text */
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "corpus.h"

struct value {
    std::string text;
    std::vector<std::unique_ptr<value>> items;
};

NOINLINE static std::string parse_text(long number)
{
    return "text of this node, which has the number " + std::to_string(number);
}

NOINLINE static std::unique_ptr<value> parse_node(int depth, long number)
{
    std::unique_ptr<value> node(new value);
    node->text = parse_text(number);
    for (int i = 0; depth && i < 6; i++)
        node->items.push_back(parse_node(depth - 1, number + i));
    return node;
}

static void start() {}

static void tick(long number)
{
    long began = corpus_now();
    while (within(began, 60)) {
        parse_node(2, number);
        work(600);
        done(1);
    }
}
