/* One block in 10,000 is forgotten, under as much churn as is recorded whole.
 * rate: 6000
 * leak: parse_field
 * lost: parse_field */
#include "corpus.h"

NOINLINE static void *parse_field(void)
{
    return use(malloc(48), 48);
}

static void start(void) {}

static void tick(long number)
{
    static unsigned long fields;
    static void *volatile last;
    (void)number;
    for (int i = 0; i < 60; i++) {
        void *volatile field = parse_field();
        if (++fields % 10000)
            free(field);
        else
            last = field;
    }
    (void)last;
}
