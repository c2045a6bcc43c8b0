/* A std::map whose nodes know their parents, and a list that is linked both ways.
 *
 *     tree COUNT
 *
 * Both have COUNT entries. Writes "ready"; "map" or "list" is answered with the address of an entry
 * in the middle.
 */
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <list>
#include <map>
#include <string>

static std::map<long, long> sessions;
static std::list<long> queue;

int main(int, char **words) {
    const long count = std::atol(words[1]);
    std::string in_map, in_list;
    for (long number = 0; number < count; number++) {
        const long key = number * 2654435761 % 1000000007;
        auto place = sessions.emplace(key, number).first;
        queue.push_back(number);
        if (number == count / 2) {
            char text[32];
            std::snprintf(text, sizeof text, "%p", (void *)&*place);
            in_map = text;
            std::snprintf(text, sizeof text, "%p", (void *)&queue.back());
            in_list = text;
        }
    }
    std::cout << "ready" << std::endl;
    for (std::string line; std::getline(std::cin, line) && line != "end";)
        std::cout << (line == "map" ? in_map : in_list) << std::endl;
}
