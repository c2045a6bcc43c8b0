// Blocks that no code can find any more.
#include <stdlib.h>
#include <string.h>

#include "shapes.h"

void *overwritten;
uint64_t halves[COUNT];
Single *shortened_head;
void *elsewhere[COUNT];
void **stale_holder;

WAY(lost, plain)
{
    for (int i = 0; i < COUNT; i++)
        way.fresh(i);
}

WAY(lost, list)
{
    escape(make_list(way));
}

WAY(lost, ring)
{
    escape(make_ring(way));
}

WAY(lost, doubly)
{
    escape(make_doubly(way));
}

WAY(lost, tree)
{
    escape(make_tree(way));
}

WAY(lost, array_of_pointers)
{
    escape(make_array(way));
}

WAY(lost, cycles)
{
    for (int i = 0; i < COUNT / 3; i++)
        escape(make_ring(way, 3));
}

WAY(lost, to_itself)
{
    for (int i = 0; i < COUNT; i++) {
        auto *node = way.node<Single>(i);
        node->next = node;
        escape(node);
    }
}

// They refer to blocks that are kept, which keeps nobody.
WAY(lost, refers_to_kept)
{
    for (int i = 0; i < COUNT; i++) {
        auto **node = way.node<void *>(i);
        elsewhere[i] = malloc(40);
        *node = elsewhere[i];
        escape(node);
    }
}

WAY(lost, overwritten)
{
    for (int i = 0; i < COUNT; i++) {
        overwritten = way.fresh(i);
        escape(&overwritten);
    }
    overwritten = nullptr;
}

WAY(lost, unlinked)
{
    auto *head = make_list(way);
    for (auto *node = head; node; node = head) {
        head = node->next;
        node->next = nullptr;
        shortened_head = head;
        escape(&shortened_head);
    }
}

WAY(lost, truncated)
{
    for (int i = 0; i < COUNT; i++)
        halves[i] = static_cast<uint32_t>(reinterpret_cast<uint64_t>(way.fresh(i)));
}

WAY(lost, large)
{
    for (int i = 0; i < 5; i++) {
        const size_t size = 300'000 + size_of(i);
        way.prepare(malloc(size), size);
    }
}

WAY(lost, calloced)
{
    for (int i = 0; i < COUNT; i++)
        way.prepare(calloc(1, size_of(i)), size_of(i));
}

WAY(lost, realloced)
{
    for (int i = 0; i < COUNT; i++)
        way.prepare(realloc(malloc(9), size_of(i) * 8), size_of(i) * 8);
}

WAY(lost, aligned)
{
    for (int i = 0; i < COUNT; i++) {
        void *block;
        if (posix_memalign(&block, 256, size_of(i)) == 0)
            way.prepare(block, size_of(i));
    }
}

WAY(lost, size_one)
{
    for (int i = 0; i < COUNT; i++)
        way.prepare(malloc(1), 1);
}

WAY(lost, size_zero)
{
    for (int i = 0; i < COUNT; i++)
        way.prepare(malloc(0), 0);
}

// What held them was freed, and still has the pointers. Small ones go to the thread's cache.
WAY(lost, freed_holder)
{
    for (size_t size = 200; size <= 2000; size *= 10) {
        auto **holder = static_cast<void **>(calloc(1, size));
        for (int i = 0; i < COUNT / 2; i++)
            holder[size / 8 - 8 + i] = way.fresh(i);
        resize_at_end(holder, 0);
    }
}

WAY(lost, shrunk_holder)
{
    auto **holder = static_cast<void **>(calloc(COUNT, 512));
    for (int i = 0; i < COUNT; i++)
        holder[32 * (i + 1)] = way.fresh(i);
    resize_at_end(holder, 72);
}

// A live block lies where its holder was, and has not been written yet.
WAY(stale, unwritten)
{
    auto **holder = static_cast<void **>(malloc(1024));
    for (int i = 0; i < COUNT; i++)
        holder[20 + i] = way.fresh(i);
    escape(holder);
    free(holder);
    stale_holder = static_cast<void **>(malloc(1024));
    escape(stale_holder);
}
