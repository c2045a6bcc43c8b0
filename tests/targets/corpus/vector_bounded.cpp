/* A vector that is filled and cleared again: its memory stays.
 * keeps: push */
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
    if (elements.size() > 2000)
        elements.clear();
}
