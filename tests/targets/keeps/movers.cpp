// Blocks whose pointers threads move between places, while "stir on" has it so.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shapes.h"

enum { PLACES = 2 * COUNT, ROOM = 64, PAGE = 4096 };  // places: in the data, and as many in a block

static void *volatile slots[PLACES];
static void *volatile *slots_in_block;
static void *volatile queue[ROOM];
static Single *volatile relinked;
static void **volatile page;
static void **volatile cleared;

static void *volatile &slot(unsigned number)
{
    return number < PLACES ? slots[number] : slots_in_block[number - PLACES];
}

static void *move_slots(void *)
{
    for (unsigned seed = 1;;) {
        before_move(SLOTS);
        const unsigned from = next_random(seed) % (2 * PLACES), to = next_random(seed) % (2 * PLACES);
        if (slot(from) && !slot(to)) {
            void *block = slot(from);
            slot(from) = nullptr;
            slot(to) = block;
        }
    }
}

WAY(kept, moved)
{
    const size_t size = PLACES * sizeof(void *);
    slots_in_block = static_cast<void **>(way.prepare(malloc(size), size, size));
    for (int i = 0; i < PLACES; i++) {
        slots[i] = i < COUNT ? way.fresh(i) : nullptr;
        slots_in_block[i] = nullptr;
    }
    start_resident(move_slots);
}

static void *rotate(void *)
{
    for (unsigned head = 0, tail = COUNT;; head = (head + 1) % ROOM, tail = (tail + 1) % ROOM) {
        before_move(QUEUE);
        void *front = queue[head];
        queue[head] = nullptr;
        queue[tail] = front;
    }
}

WAY(kept, queue)
{
    for (int i = 0; i < COUNT; i++)
        queue[i] = way.fresh(i);
    start_resident(rotate);
}

static void *relink(void *)
{
    for (unsigned seed = 1;;) {
        before_move(RELINKED);
        Single *before = relinked;
        for (unsigned steps = next_random(seed) % (COUNT - 1); steps > 0; steps--)
            before = before->next;
        if (Single *node = before->next) {
            before->next = node->next;
            node->next = relinked;
            relinked = node;
        }
    }
}

WAY(kept, relinked)
{
    relinked = make_list(way);
    start_resident(relink);
}

static void **map()
{
    void *fresh = mmap(nullptr, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return fresh == MAP_FAILED ? abort(), nullptr : static_cast<void **>(fresh);
}

static void *remap(void *)
{
    for (;;) {
        before_move(REMAPPED);
        void **old = page, **fresh = map();
        memcpy(fresh, old, PAGE);
        page = fresh;
        munmap(old, PAGE);
    }
}

// The page that has them may not have been there when a look began.
WAY(kept, remapped)
{
    page = map();
    for (int i = 0; i < COUNT; i++)
        page[i] = way.fresh(i);
    start_resident(remap);
}

static void *clear(void *)
{
    for (unsigned seed = 1;;) {
        before_move(CLEARED);
        void **old = cleared;
        auto **fresh = static_cast<void **>(malloc(1500 + next_random(seed) % 1000));
        memcpy(fresh, old, COUNT * sizeof(void *));
        cleared = fresh;
        memset(old, 0, COUNT * sizeof(void *));
        escape(old);
        free(old);
    }
}

// What has them was free memory a moment ago, and is again in the next; then nothing is left of them.
WAY(kept, cleared_holder)
{
    cleared = static_cast<void **>(malloc(1500));
    for (int i = 0; i < COUNT; i++)
        cleared[i] = way.fresh(i);
    start_resident(clear);
}
