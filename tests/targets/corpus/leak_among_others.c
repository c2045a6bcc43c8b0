/* A function whose blocks live for three seconds, and one in ten for ever; another has blocks that live for
 * 30 seconds.
 * leak: make_node
 * lost: make_node
 * keeps: make_entry */
#include "corpus.h"

static struct queue nodes, entries;

NOINLINE static void *make_node(void)
{
    return use(malloc(72), 72);
}

NOINLINE static void *make_entry(void)
{
    return use(malloc(104), 104);
}

static void start(void)
{
    for (int i = 0; i < 3 * 9; i++)
        queue_put(&nodes, make_node());
    for (int i = 0; i < 30 * 10; i++)
        queue_put(&entries, make_entry());
}

static void tick(long number)
{
    static void *volatile last;
    if (number % 10 == 0) {
        queue_put(&entries, make_entry());
        queue_free(&entries);
        void *node = make_node();
        if (number % 100 == 0)
            last = node;
        else {
            queue_put(&nodes, node);
            queue_free(&nodes);
        }
    }
    (void)last;
}
