/* Thirty-two functions allocate; what they make lives from no time up to ten seconds.
 * rate: 3000
 * keeps: handle_0
 * keeps: handle_10
 * keeps: handle_20
 * keeps: handle_31 */
#include "corpus.h"

#define HANDLER(n) \
    NOINLINE static void *handle_##n(void) \
    { \
        return use(malloc(24 + 8 * n), 24 + 8 * n); \
    }
#define ALL(X) \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) \
    X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
#define NAME(n) handle_##n,

ALL(HANDLER)
static void *(*const handlers[])(void) = {ALL(NAME)};
static struct queue in_use[32];

static void start(void) {}

static void tick(long number)
{
    (void)number;
    for (int i = 0; i < 30; i++) {
        unsigned long which = corpus_random(32);
        queue_put(&in_use[which], handlers[which]());
        work(5);
        if (queue_length(&in_use[which]) > which * which)
            queue_free(&in_use[which]);
    }
    done(30);
}
