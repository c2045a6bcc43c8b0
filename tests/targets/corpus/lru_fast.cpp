/* A cache of 20,000 entries by least recent use, full since long ago; half of 13,000 requests a second miss.
 * rate: 20000
 * keeps: insert
 * keeps: make_page */
#include <list>
#include <string>
#include <unordered_map>

#include "corpus.h"

using entries = std::list<std::pair<long, std::string>>;

static entries order;
static std::unordered_map<long, entries::iterator> places;

NOINLINE static void insert(long key)
{
    order.emplace_front(key, std::string(100 + key % 300, 'v'));
    places[key] = order.begin();
    if (order.size() > 20000) {
        places.erase(order.back().first);
        order.pop_back();
    }
}

NOINLINE static std::string make_page(long key)
{
    return std::string(500 + key % 100, 'p');
}

static void start()
{
    for (long key = 0; key < 20000; key++)
        insert(key);
}

static void tick(long)
{
    for (int i = 0; i < 100; i++) {
        long key = corpus_random(40000);
        std::string page = make_page(key);
        auto place = places.find(key);
        if (place == places.end())
            insert(key);
        else
            order.splice(order.begin(), order, place->second);
        work(8);
    }
    done(100);
}
