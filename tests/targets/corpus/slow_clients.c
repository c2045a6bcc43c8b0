/* Most clients are served in 50 milliseconds. One in fifty has gone away: what belongs to it is kept for 25 seconds.
 * rate: 300
 * keeps: open_connection
 * keeps: make_page */
#include "corpus.h"

static struct queue quick, gone;

NOINLINE static void *open_connection(void)
{
    return use(malloc(520), 520);
}

NOINLINE static void *make_page(void)
{
    return use(malloc(1200), 1200);
}

static void start(void)
{
    for (int i = 0; i < 25 * 4; i++)
        queue_put(&gone, open_connection());
}

static void tick(long number)
{
    for (int i = 0; i < 2; i++) {
        void *page = make_page(), *connection = open_connection();
        work(20);
        free(page);
        if (number % 25 == 0 && i == 0) {
            queue_put(&gone, connection);
            queue_free(&gone);
        } else
            queue_put(&quick, connection);
    }
    while (queue_length(&quick) > 10)
        queue_free(&quick);
}
