// Linked blocks, for those that keep the head and those that lose it.
#pragma once
#include "keeps.h"

struct Single {
    Single *next;
};
struct Double {
    Double *next, *previous;
};
struct Tree {
    Tree *left, *right;
};

inline Single *make_list(const Way &way)
{
    Single *head = nullptr;
    for (int i = 0; i < COUNT; i++) {
        auto *node = way.node<Single>(i);
        node->next = head;
        head = node;
    }
    return head;
}

inline Single *make_ring(const Way &way, int count = COUNT)
{
    auto *first = way.node<Single>(0), *last = first;
    for (int i = 1; i < count; i++)
        last = last->next = way.node<Single>(i);
    last->next = first;
    return first;
}

inline Double *make_doubly(const Way &way)
{
    auto *first = way.node<Double>(0), *last = first;
    first->previous = nullptr;
    for (int i = 1; i < COUNT; i++) {
        auto *node = way.node<Double>(i);
        node->previous = last;
        last = last->next = node;
    }
    last->next = nullptr;
    return first;
}

inline Tree *make_tree(const Way &way)
{
    Tree *nodes[2 * COUNT + 1] = {};
    for (int i = 0; i < COUNT; i++)
        nodes[i] = way.node<Tree>(i);
    for (int i = 0; i < COUNT; i++) {
        nodes[i]->left = nodes[2 * i + 1];
        nodes[i]->right = nodes[2 * i + 2];
    }
    return nodes[0];
}

// Returns an array of pointers to blocks, which is a block itself.
inline void **make_array(const Way &way)
{
    const size_t size = (COUNT + 2) * sizeof(void *);
    auto **array = static_cast<void **>(way.prepare(__builtin_malloc(size), size, size));
    for (int i = 0; i < COUNT; i++)
        array[i] = way.fresh(i);
    array[COUNT] = array[COUNT + 1] = nullptr;
    return array;
}
