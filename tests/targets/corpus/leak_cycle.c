/* Two objects that hold each other: what counts references never frees them.
 * leak: make_parent
 * lost: make_parent
 * leak: make_child
 * lost: make_child */
#include "corpus.h"

struct object {
    struct object *other;
    int references;
    char data[80];
};

NOINLINE static struct object *make_parent(void)
{
    struct object *parent = calloc(1, sizeof(struct object));
    parent->references = 1;
    return parent;
}

NOINLINE static struct object *make_child(struct object *parent)
{
    struct object *child = calloc(1, sizeof(struct object) + 32);
    child->other = parent;
    child->references = 1;
    parent->references++;
    return child;
}

static void let_go(struct object *object)
{
    if (--object->references == 0)
        free(object);
}

static void start(void) {}

static void tick(long number)
{
    if (number % 20)
        return;
    struct object *parent = make_parent();
    parent->other = make_child(parent);
    if (number % 40 == 0) { /* every other pair is taken apart first */
        struct object *child = parent->other;
        let_go(parent);
        let_go(child);
    }
    let_go(parent);
}
