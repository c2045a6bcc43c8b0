/* Words are looked up 3,000 times a second and kept once each: of 4,000, most come soon, some late.
 * rate: 3000
 * keeps: intern
 * keeps: read_word */
#include <string>
#include <unordered_set>

#include "corpus.h"

static std::unordered_set<std::string> known;

NOINLINE static std::string read_word()
{
    unsigned long word = corpus_random(4000);
    return "a word that is too long for its object: " + std::to_string(word * word / 4000);
}

NOINLINE static void intern(const std::string &word)
{
    known.insert(word);
}

static void start() {}

static void tick(long number)
{
    for (int i = 0; i < 15; i++) {
        std::string word = read_word();
        work(5);
        if (number >= SOON)
            intern(word);
    }
    done(15);
}
