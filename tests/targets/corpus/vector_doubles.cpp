/* A vector to which elements are appended for ever, from the sixth second on.
 * growing: push */
#include <vector>

extern "C" {
#include "corpus.h"
}

static std::vector<long> elements;

NOINLINE static void push(long element)
{
    elements.push_back(element);
}

static void start(void) {}

static void tick(long number)
{
    for (int i = 0; number >= SOON && i < 10; i++)
        push(number);
}
