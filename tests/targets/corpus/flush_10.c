/* Lines of a log are collected, and written out together every ten seconds.
 * rate: 300
 * keeps: log_line
 * keeps: answer */
#include "corpus.h"

static struct queue lines;

NOINLINE static void *log_line(void)
{
    return use(malloc(60 + corpus_random(80)), 60);
}

NOINLINE static void *answer(void)
{
    return use(malloc(800), 800);
}

static void start(void) {}

static void tick(long number)
{
    for (int i = 0; i < 2; i++) {
        void *page = answer();
        queue_put(&lines, log_line());
        work(10);
        free(page);
    }
    if (number % (10 * HZ) == 10 * HZ - 1)
        while (queue_length(&lines))
            queue_free(&lines);
}
