/* Who connects is put into the list of listeners, and stays in it when the connection is closed.
 * growing: add_listener
 * keeps: accept_connection */
#include "corpus.h"

struct listener {
    struct listener *next;
    long number;
};

static struct listener *listeners;
static struct queue connections;

NOINLINE static void *accept_connection(void)
{
    return use(malloc(700), 700);
}

NOINLINE static void add_listener(long number)
{
    struct listener *listener = (struct listener *)malloc(sizeof(struct listener));
    listener->number = number;
    listener->next = listeners;
    listeners = listener;
}

static void start(void) {}

static void tick(long number)
{
    if (number % 5)
        return;
    queue_put(&connections, accept_connection());
    add_listener(number);
    if (queue_length(&connections) > 10)
        queue_free(&connections);
}
