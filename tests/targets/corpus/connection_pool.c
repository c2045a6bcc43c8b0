/* A pool of connections: one that nobody has used for six seconds is closed, and opened again when the load,
 * which changes every eight seconds, asks for it.
 * keeps: connect_to_server
 * keeps: make_query */
#include "corpus.h"

struct connection {
    long used;
    char buffer[3000];
};

struct connection *pool[24];

NOINLINE static struct connection *connect_to_server(void)
{
    struct connection *made = (struct connection *)malloc(sizeof(struct connection));
    return (struct connection *)use(made, sizeof(struct connection));
}

NOINLINE static void *make_query(void)
{
    return use(malloc(200), 200);
}

static void start(void) {}

static void tick(long number)
{
    if (number % 4)
        return;
    int busy = number / (8 * HZ) % 2 ? 24 : 8, which = corpus_random(busy);
    void *query = make_query();
    if (!pool[which])
        pool[which] = connect_to_server();
    pool[which]->used = number;
    for (int i = 0; i < 24; i++)
        if (pool[i] && number - pool[i]->used > 6 * HZ) {
            free(pool[i]);
            pool[i] = NULL;
        }
    free(query);
}
