/* One request in a hundred fails. Then the request is freed, and what it had read is forgotten: right before
 * the free stands a return too early.
 * rate: 3000
 * leak: read_body
 * lost: read_body
 * keeps: begin_request */
#include "corpus.h"

struct request {
    char *body;
    char head[200];
};

NOINLINE static struct request *begin_request(void)
{
    return (struct request *)use(malloc(sizeof(struct request)), sizeof(struct request));
}

NOINLINE static char *read_body(void)
{
    return (char *)use(malloc(400 + corpus_random(200)), 400);
}

static int handle(struct request *request)
{
    request->body = read_body();
    work(10);
    if (corpus_random(100) == 0)
        return -1;
    free(request->body);
    return 0;
}

static void start(void) {}

static void tick(long number)
{
    (void)number;
    for (int i = 0; i < 15; i++) {
        struct request *request = begin_request();
        handle(request);
        free(request);
    }
    done(15);
}
