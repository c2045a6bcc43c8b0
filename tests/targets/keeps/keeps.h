// What a way of keeping or losing blocks is made of. main.cpp says what the program does.
//
// No file but library.cpp and coroutines.cpp needs the C++ library, for musl has none.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { COUNT = 12 };  // blocks of one way; where there are fewer, the way says so

enum class Label { kept, lost, hidden, stale };

// An address XORed with this lies outside of user space, in whichever 48 bits it is looked for.
const uint64_t KEY = 0xa5a5a5a5a5a5a5a5;

inline uint64_t scrambled(const volatile void *address)
{
    return reinterpret_cast<uint64_t>(address) ^ KEY;
}

// Hides from the compiler what is done with the memory at an address.
inline void escape(const volatile void *address)
{
    asm volatile("" : : "r"(address) : "memory");
}

// The size of the block of that number. glibc's header of the next chunk, to which its bins and
// its top refer, begins behind the last byte of a block of such a size.
inline size_t size_of(int number)
{
    return 16 * (2 + number * 7 % 23) + 9 + number % 7;
}

struct Way {
    Way(Label label, const char *kind, void (*make)(const Way &));

    // Labels a block. From the offset `links` on it holds its pattern, and must hold it for ever.
    void note(const void *block, size_t size, size_t links) const;
    // Fills a block with its pattern, and labels it.
    void *prepare(void *block, size_t size, size_t links = 0) const;
    // Returns a new block of malloc, of the size that belongs to the number.
    void *fresh(int number, size_t links = 0) const;
    // Returns one that begins with a T.
    template <class T> T *node(int number) const
    {
        return static_cast<T *>(fresh(number, sizeof(T)));
    }

    const Label label;
    const char *const kind;
    void (*const make)(const Way &);
    Way *next;
};

// Removes the label of a block that is about to be freed.
void forget(const void *block);

// Resizes a block when everything is allocated, so that nobody writes over what it leaves; frees it
// if the size is 0.
void resize_at_end(void *block, size_t size);

// Defines a function that makes the blocks of a way. Runs in a thread of its own, whose stack is
// wiped afterwards.
#define WAY(LABEL, KIND)                                                                           \
    static void make_##LABEL##_##KIND(const Way &);                                                \
    static Way way_##LABEL##_##KIND(Label::LABEL, #KIND, make_##LABEL##_##KIND);                   \
    static void make_##LABEL##_##KIND(const Way &way)

// Called before the program says that it is ready: makes what holds blocks later.
void prepare_older();

// The folder for files, and an array in the frame of main.
extern const char *folder;
extern void *volatile *in_main;

// Addresses on their way from one thread to another, scrambled.
extern uint64_t parcel[COUNT];
inline void pack(int number, const void *block)
{
    parcel[number] = scrambled(block);
}
void *unpack(int number);

// Starts a thread that stays, and returns once it has called settle().
void start_resident(void *(*work)(void *), void *argument = nullptr);
void settle();
// Waits in the kernel for ever.
void block();

// Threads that move pointers call this between two moves: returns while they shall move, and
// counts moves for the mover of that number.
enum { SLOTS, QUEUE, RELINKED, REMAPPED, CLEARED, DEQUE, REGROWN, MOVERS };
void before_move(int mover);
extern int stirring;

inline unsigned next_random(unsigned &seed)
{
    seed = seed * 1103515245 + 12345;
    return seed >> 16;
}
