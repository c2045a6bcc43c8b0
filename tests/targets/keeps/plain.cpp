// Blocks that globals keep, straight or through other blocks.
#include <stdlib.h>
#include <string.h>

#include "shapes.h"

struct Tagged {
    uint64_t words[COUNT];
};
struct Member {
    long before[3];
    Member *next_member;  // what refers to a node refers to the middle of it
};
struct Strided {
    char name;
    void *block;
    int numbers[7];
};
union Either {
    double number;
    void *block;
};
struct __attribute__((packed)) Packed {
    char kind;
    void *block;
    char rest[7];
};

// None of them is static: who looks at this file alone cannot know that nobody reads them.
void *in_data[COUNT] = {in_data};
void *in_bss[COUNT];
Single *list_head, *ring_head;
Double *doubly_head;
Tree *tree_root;
Member **member_head;
Strided strided[COUNT];
Either either[COUNT];
Packed packed[COUNT];
Tagged low, high;
void *ends[COUNT], *insides[COUNT], *atomics[COUNT], *regrown[COUNT], *aligned[COUNT], *large[5];
void **vector, **older, **older_lost, **chains[COUNT];

WAY(kept, global)
{
    for (int i = 0; i < COUNT; i++)
        in_data[i] = way.fresh(i);
}

WAY(kept, bss_array)
{
    for (int i = 0; i < COUNT; i++)
        in_bss[i] = way.fresh(i);
}

WAY(kept, static_local)
{
    static void *volatile here[COUNT];
    for (int i = 0; i < COUNT; i++)
        here[i] = way.fresh(i);
    escape(here);
}

WAY(kept, list)
{
    list_head = make_list(way);
}

WAY(kept, ring)
{
    ring_head = make_ring(way);
}

WAY(kept, doubly)
{
    doubly_head = make_doubly(way);
}

WAY(kept, tree)
{
    tree_root = make_tree(way);
}

WAY(kept, intrusive)
{
    Member *next = nullptr;
    for (int i = 0; i < COUNT; i++) {
        auto *node = way.node<Member>(i);
        node->next_member = next;
        next = reinterpret_cast<Member *>(&node->next_member);
        member_head = &node->next_member;
    }
}

WAY(kept, strided)
{
    for (int i = 0; i < COUNT; i++)
        strided[i].block = way.fresh(i);
}

WAY(kept, in_union)
{
    for (int i = 0; i < COUNT; i++)
        either[i].block = way.fresh(i);
}

WAY(kept, low_tags)
{
    for (int i = 0; i < COUNT; i++)
        low.words[i] = reinterpret_cast<uint64_t>(way.fresh(i)) | (i % 7 + 1);
}

WAY(kept, high_tags)
{
    for (uint64_t i = 0; i < COUNT; i++)
        high.words[i] = reinterpret_cast<uint64_t>(way.fresh(i)) | (0xbee0 + i) << 48;
}

// Where one block begins at the end of another one, this keeps the wrong one: not with glibc.
WAY(kept, end_pointer)
{
    for (int i = 0; i < COUNT; i++)
        ends[i] = static_cast<char *>(way.fresh(i)) + size_of(i);
}

WAY(kept, inside_pointer)
{
    for (int i = 0; i < COUNT; i++)
        insides[i] = static_cast<char *>(way.fresh(i)) + size_of(i) / 2 + i % 3;
}

WAY(kept, atomic)
{
    for (int i = 0; i < COUNT; i++)
        __atomic_store_n(&atomics[i], way.fresh(i), __ATOMIC_SEQ_CST);
}

// Ends with a null pointer, as environ does.
WAY(kept, vector_of_pointers)
{
    vector = make_array(way);
}

WAY(kept, putenv)
{
    for (int i = 0; i < COUNT; i++) {
        auto *text = static_cast<char *>(way.fresh(i, size_of(i)));
        memcpy(text, "KEEPS_A=", 8);
        text[6] = static_cast<char>('A' + i);
        text[size_of(i) - 1] = '\0';
        putenv(text);
    }
}

WAY(kept, deep)
{
    for (int i = 0; i < COUNT; i++) {
        auto **last = static_cast<void **>(way.fresh(i));
        for (int level = 0; level < 1 + i % 4; level++) {
            auto **block = way.node<void *>(i + level);
            *block = last;
            last = block;
        }
        chains[i] = last;
    }
}

// The array was there before anything was recorded.
WAY(kept, older_holder)
{
    for (int i = 0; i < COUNT; i++)
        older[i] = way.fresh(i);
}

void prepare_older()
{
    older = static_cast<void **>(calloc(COUNT, sizeof(void *)));
    older_lost = static_cast<void **>(calloc(COUNT, sizeof(void *)));
}

// Their holder is lost too; but nobody has recorded that one, which was there before.
WAY(stale, older_lost)
{
    for (int i = 0; i < COUNT; i++)
        older_lost[i] = way.fresh(i);
    escape(older_lost);
    older_lost = nullptr;
}

WAY(kept, realloced)
{
    for (int i = 0; i < COUNT; i++) {
        void *block = realloc(malloc(9), size_of(i) * 2);
        regrown[i] = way.prepare(realloc(block, size_of(i) * 8), size_of(i) * 8);
    }
}

WAY(kept, aligned)
{
    for (int i = 0; i < COUNT; i++)
        if (posix_memalign(&aligned[i], i % 2 ? 64 : 4096, size_of(i)) == 0)
            way.prepare(aligned[i], size_of(i));
}

// Five of them, each with a mapping of its own; what refers to it points far into it.
WAY(kept, large)
{
    for (int i = 0; i < 5; i++) {
        const size_t size = 300'000 + size_of(i);
        large[i] = static_cast<char *>(way.prepare(malloc(size), size)) + 200'000 + i;
    }
}

WAY(kept, main_stack)
{
    for (int i = 0; i < COUNT; i++)
        in_main[i] = way.fresh(i);
}

// An aligned word holds only a part of the pointer.
WAY(hidden, packed)
{
    for (int i = 0; i < COUNT; i++)
        packed[i].block = way.fresh(i);
}
