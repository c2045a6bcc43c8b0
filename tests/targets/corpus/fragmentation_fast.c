/* Blocks are cut down to what is needed of them and live for 40 seconds: the resident set is much larger than
 * what is in use, and grows.
 * rate: 3000
 * keeps: make_record
 * keeps: make_text */
#include "corpus.h"

static struct queue records;
static size_t size = 1000;

NOINLINE static void *make_record(void)
{
    void *record = use(malloc(size), size);
    size = size < 60000 ? size + 16 : 1000;
    return use(realloc(record, 48), 8);
}

NOINLINE static void *make_text(void)
{
    return use(malloc(200 + corpus_random(400)), 200);
}

static void start(void)
{
    for (int i = 0; i < 40 * HZ; i++)
        queue_put(&records, make_record());
}

static void tick(long number)
{
    (void)number;
    for (int i = 0; i < 28; i++) {
        void *text = make_text();
        work(5);
        free(text);
    }
    queue_put(&records, make_record());
    queue_free(&records);
    done(28);
}
