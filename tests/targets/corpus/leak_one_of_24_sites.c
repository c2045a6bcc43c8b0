/* Twenty-four functions allocate, each at a pace of its own; one forgets one block in thirty.
 * rate: 3000
 * leak: handle_17
 * lost: handle_17
 * keeps: handle_0
 * keeps: handle_3
 * keeps: handle_23 */
#include "corpus.h"

#define HANDLER(n) \
    NOINLINE static void *handle_##n(void) \
    { \
        return use(malloc(24 + 8 * n), 24 + 8 * n); \
    }
#define ALL(X) \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) \
    X(18) X(19) X(20) X(21) X(22) X(23)
#define NAME(n) handle_##n,

ALL(HANDLER)
static void *(*const handlers[])(void) = {ALL(NAME)};
static struct queue in_use[24];

static void start(void) {}

static void tick(long number)
{
    static void *volatile last;
    (void)number;
    for (int i = 0; i < 30; i++) {
        unsigned long which = corpus_random(24);
        void *block = handlers[which]();
        work(5);
        if (which == 17 && corpus_random(30) == 0) {
            last = block;
            continue;
        }
        queue_put(&in_use[which], block);
        if (queue_length(&in_use[which]) > which * which)
            queue_free(&in_use[which]);
    }
    done(30);
    (void)last;
}
