// One round for each line on stdin: each function named `by_...` leaks one block, and calls the
// allocator through somebody else. `descend` and the pair below it leak at the end of recursion.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#define KEPT __attribute__((noipa))
// Behind a call, so that it is no jump: the function is to be on the stack.
#define WORK __asm__ volatile("nop")

struct Item {
    long numbers[9];
};

KEPT static void *keep(void *block)
{
    WORK;
    return block;
}

KEPT static void by_new(void)
{
    keep(new Item);
    WORK;
}

KEPT static void by_string(void)
{
    keep(new std::string(100, 'x'));
    WORK;
}

KEPT static void by_vector(std::vector<Item> &items)
{
    items.push_back(Item());
    WORK;
}

template <typename Key> KEPT void by_map(std::map<Key, std::vector<Item>> &table, const Key &key)
{
    table[key];
    WORK;
}

KEPT static void by_shared(void)
{
    new std::shared_ptr<Item>(std::make_shared<Item>());
    WORK;
}

KEPT static void by_strdup(void)
{
    keep(strdup("copied"));
    WORK;
}

KEPT static void by_asprintf(void)
{
    char *text;
    if (asprintf(&text, "%d", 42) > 0)
        keep(text);
    WORK;
}

KEPT static void by_fopen(void)
{
    keep(fopen("/dev/null", "r"));
    WORK;
}

KEPT static void *pool_get(size_t size)
{
    void *block = malloc(size);
    WORK;
    return block;
}

KEPT static void *xmalloc(size_t size)
{
    void *block = pool_get(size);
    WORK;
    return block;
}

KEPT static void by_pool(void)
{
    keep(xmalloc(64));
    WORK;
}

KEPT static void descend(int depth)
{
    if (depth)
        descend(depth - 1);
    else
        keep(malloc(32));
    WORK;
}

static void odd(int depth);

KEPT static void even(int depth)
{
    if (depth)
        odd(depth - 1);
    else
        keep(malloc(48));
    WORK;
}

KEPT static void odd(int depth)
{
    even(depth - 1);
    WORK;
}

int main(void)
{
    static std::vector<Item> items;
    static std::map<std::string, std::vector<Item>> table;
    char line[32];

    setvbuf(stdout, nullptr, _IONBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        by_new();
        by_string();
        by_vector(items);
        by_map(table, std::string(line));
        by_shared();
        by_strdup();
        by_asprintf();
        by_fopen();
        by_pool();
        descend(211);
        even(210);
        puts("done");
    }
    return 0;
}
