/* A text that is appended to until it has a certain length, and begun anew.
 * keeps: append */
#include "corpus.h"

static char *text;
static size_t length;

NOINLINE static void append(void)
{
    text = realloc(text, length + 100);
    memset(text + length, 'x', 100);
    length += 100;
}

static void start(void) {}

static void tick(long number)
{
    if (number % 10)
        return;
    append();
    if (length == 4000) {
        free(text);
        text = NULL;
        length = 0;
    }
}
