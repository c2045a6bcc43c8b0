// Blocks that objects of the C++ library keep, and some that these lose.
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "shapes.h"

// Allocates by `operator new`, and labels what it returns; for the size see size_of().
static void *label_new(const Way &way, size_t size)
{
    size = (size + 15) & ~size_t(15);
    return way.prepare(::operator new(size), size, size);
}

static void *fresh_new(const Way &way, int number)
{
    return way.prepare(::operator new(size_of(number)), size_of(number));
}

// An allocator of containers, all of whose blocks are labelled.
template <class T> struct Labelled {
    using value_type = T;
    const Way *way;
    explicit Labelled(const Way &way) : way(&way) {}
    template <class U> Labelled(const Labelled<U> &other) : way(other.way) {}
    T *allocate(size_t count)
    {
        return static_cast<T *>(label_new(*way, count * sizeof(T)));
    }
    void deallocate(T *block, size_t)
    {
        forget(block);
        ::operator delete(block);
    }
    bool operator==(const Labelled &) const
    {
        return true;
    }
    bool operator!=(const Labelled &) const
    {
        return false;
    }
};

struct Item {
    long words[5];
};
using Map = std::map<int, Item, std::less<int>, Labelled<std::pair<const int, Item>>>;
using Set = std::set<int, std::less<int>, Labelled<int>>;
using Hashed = std::unordered_map<int, void *, std::hash<int>, std::equal_to<int>,
                                  Labelled<std::pair<const int, void *>>>;
using List = std::list<Item, Labelled<Item>>;
using Vector = std::vector<void *, Labelled<void *>>;
using Deque = std::deque<void *, Labelled<void *>>;
using String = std::basic_string<char, std::char_traits<char>, Labelled<char>>;

struct First {
    virtual ~First() = default;
    long numbers[3] = {};
};
struct Second {
    virtual ~Second() = default;
    long number = 0;
};
struct Both : First, Second {};
struct Owner {
    long number;
    std::unique_ptr<Item> item;
};
struct Destroyed {
    long numbers[3];
    ~Destroyed()
    {
        escape(this);
    }
};
struct Failure {
    void *block;
};

std::optional<Map> kept_map;
std::optional<Set> kept_set;
std::optional<Hashed> kept_hashed;
std::optional<List> kept_list;
std::optional<Vector> kept_vector;
std::optional<Deque> kept_deque;
std::optional<String> kept_strings[COUNT];
Second *kept_seconds[COUNT];
std::shared_ptr<Item> kept_shared[COUNT];
Owner kept_owners[COUNT];
std::function<void *()> kept_functions[COUNT];
std::exception_ptr kept_failures[COUNT];
Destroyed *kept_destroyed[COUNT];
static std::deque<void *> *breathing[2];
static std::vector<void *> *regrown;

static void fill(Map &map)
{
    for (int i = 0; i < COUNT; i++)
        map[i * 7 % COUNT] = {};
}

WAY(kept, std_map)
{
    fill(kept_map.emplace(Map::allocator_type(way)));
}

WAY(kept, std_set)
{
    Set &set = kept_set.emplace(Set::allocator_type(way));
    for (int i = 0; i < COUNT; i++)
        set.insert(i);
}

WAY(kept, unordered_map)
{
    Hashed &map = kept_hashed.emplace(Hashed::allocator_type(way));
    for (int i = 0; i < COUNT; i++)
        map[i] = fresh_new(way, i);
}

WAY(kept, std_list)
{
    kept_list.emplace(COUNT, Item(), List::allocator_type(way));
}

WAY(kept, std_vector)
{
    Vector &vector = kept_vector.emplace(Vector::allocator_type(way));
    for (int i = 0; i < COUNT; i++)
        vector.push_back(fresh_new(way, i));
}

WAY(kept, std_deque)
{
    Deque &deque = kept_deque.emplace(Deque::allocator_type(way));
    for (int i = 0; i < COUNT; i++)
        deque.push_back(fresh_new(way, i));
}

WAY(kept, std_string)
{
    for (int i = 0; i < COUNT; i++)
        kept_strings[i].emplace(size_of(i), 'x', String::allocator_type(way));
}

WAY(kept, second_base)
{
    for (Second *&second : kept_seconds)
        second = new (label_new(way, sizeof(Both))) Both;
}

WAY(kept, shared_ptr)
{
    for (auto &pointer : kept_shared)
        pointer = std::allocate_shared<Item>(Labelled<Item>(way));
}

WAY(kept, unique_ptr)
{
    for (auto &owner : kept_owners)
        owner.item.reset(static_cast<Item *>(label_new(way, sizeof(Item))));
}

WAY(kept, function)
{
    for (int i = 0; i < COUNT; i++) {
        void *block = fresh_new(way, i);
        kept_functions[i] = [block, numbers = Item()] { return numbers.words[0] ? nullptr : block; };
    }
}

WAY(kept, exception_ptr)
{
    for (int i = 0; i < COUNT; i++)
        kept_failures[i] = std::make_exception_ptr(Failure{fresh_new(way, i)});
}

// The number of its elements is in front of the address that `new` returns.
static Destroyed *make_destroyed(const Way &way)
{
    auto *array = new Destroyed[3];
    way.note(reinterpret_cast<char *>(array) - 8, 8 + sizeof(Destroyed[3]), 8 + sizeof(Destroyed[3]));
    return array;
}

WAY(kept, new_array)
{
    for (auto &array : kept_destroyed)
        array = make_destroyed(way);
}

static void *breathe(void *)
{
    for (unsigned seed = 1;;) {
        before_move(DEQUE);
        auto &from = *breathing[next_random(seed) % 2];
        auto &to = &from == breathing[0] ? *breathing[1] : *breathing[0];
        for (unsigned steps = next_random(seed) % COUNT; steps > 0 && !from.empty(); steps--) {
            to.push_back(from.front());
            from.pop_front();
        }
        from.shrink_to_fit();
    }
}

WAY(kept, breathing_deques)
{
    for (auto &deque : breathing)
        deque = new std::deque<void *>;
    for (int i = 0; i < COUNT; i++)
        breathing[0]->push_back(fresh_new(way, i));
    start_resident(breathe);
}

// What holds them is allocated anew at every move.
static void *regrow(void *)
{
    for (unsigned seed = 1;;) {
        before_move(REGROWN);
        regrown->reserve(COUNT + next_random(seed) % 1000);
        regrown->shrink_to_fit();
    }
}

WAY(kept, regrown_vector)
{
    regrown = new std::vector<void *>;
    for (int i = 0; i < COUNT; i++)
        regrown->push_back(fresh_new(way, i));
    start_resident(regrow);
}

WAY(lost, std_map)
{
    fill(*new (label_new(way, sizeof(Map))) Map(Map::allocator_type(way)));
}

WAY(lost, std_list)
{
    new (label_new(way, sizeof(List))) List(COUNT, Item(), List::allocator_type(way));
}

WAY(lost, new_array)
{
    for (int i = 0; i < COUNT; i++)
        escape(make_destroyed(way));
}

WAY(lost, thrown)
{
    for (int i = 0; i < COUNT; i++)
        try {
            void *block = fresh_new(way, i);
            escape(block);
            throw std::runtime_error("the block is left behind");
        } catch (const std::exception &) {
        }
}

// Each refers to the other, as no weak pointer breaks the cycle.
WAY(lost, shared_cycle)
{
    struct Node {
        std::shared_ptr<Node> other;
    };
    for (int i = 0; i < COUNT; i++) {
        auto one = std::allocate_shared<Node>(Labelled<Node>(way));
        one->other = std::allocate_shared<Node>(Labelled<Node>(way));
        one->other->other = one;
    }
}
