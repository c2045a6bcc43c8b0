/* Connections come and go; each has a buffer that is enlarged as needed, up to a bound.
 * keeps: accept_connection
 * keeps: enlarge_buffer */
#include "corpus.h"

#define CONNECTIONS 20

struct connection {
    char *buffer;
    size_t size;
    long until;
};

static struct connection *open_ones[CONNECTIONS];

NOINLINE static struct connection *accept_connection(long number)
{
    struct connection *connection = calloc(1, sizeof *connection);
    connection->until = number + 200 + corpus_random(600);
    return connection;
}

NOINLINE static void enlarge_buffer(struct connection *connection)
{
    connection->size += 512;
    connection->buffer = realloc(connection->buffer, connection->size);
}

static void serve(long number, int which)
{
    struct connection *connection = open_ones[which];
    if (connection && connection->until <= number) {
        free(connection->buffer);
        free(connection);
        connection = NULL;
    }
    if (!connection)
        connection = open_ones[which] = accept_connection(number);
    if (connection->size < 4096 && corpus_random(2) == 0)
        enlarge_buffer(connection);
}

static void start(void)
{
    for (int which = 0; which < CONNECTIONS; which++) {
        serve(0, which);
        open_ones[which]->until = corpus_random(800);
    }
}

static void tick(long number)
{
    if (number % 5 == 0)
        serve(number, number / 5 % CONNECTIONS);
}
