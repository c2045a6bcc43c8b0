/* A text to which something is appended for ever: one block that is resized.
 * growing: append */
#include "corpus.h"

static char *text;
static size_t length = 20000;

NOINLINE static void append(void)
{
    text = realloc(text, length + 100);
    memset(text + length, 'x', 100);
    length += 100;
}

static void start(void)
{
    text = malloc(length);
}

static void tick(long number)
{
    if (number % 10 == 0)
        append();
}
