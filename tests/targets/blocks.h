/* Blocks of the heap that come and go, and whose content is known. */
#pragma once
#include <cstdlib>
#include <cstring>

class Blocks {
public:
    explicit Blocks(unsigned seed) : seed(seed) {}
    ~Blocks()
    {
        for (Block &block : blocks)
            std::free(block.start);
    }
    /* Allocates, resizes or frees one; returns whether its content was right. */
    bool step()
    {
        seed = seed * 1103515245 + 12345;
        Block &block = blocks[seed >> 16 & (BLOCKS - 1)];
        std::size_t size = 16 + (seed >> 8 & 1023);
        bool is_right = block.start == nullptr || is_filled(block);

        if (block.start != nullptr && (seed & 1 << 20) == 0) {
            std::free(block.start);
            block.start = nullptr;
            return is_right;
        }
        auto start = static_cast<unsigned char *>(
            block.start != nullptr ? std::realloc(block.start, size)
                                   : (seed & 2 ? std::malloc(size) : std::calloc(2, size)));
        block = {start, size};
        std::memset(start, static_cast<int>(size & 255), size);
        return is_right;
    }

private:
    struct Block {
        unsigned char *start;
        std::size_t size;
    };
    static bool is_filled(const Block &block)
    {
        for (std::size_t i = 0; i < block.size; i++)
            if (block.start[i] != (block.size & 255))
                return false;
        return true;
    }
    enum { BLOCKS = 64 };
    Block blocks[BLOCKS] = {};
    unsigned seed;
};

static bool work(Blocks &blocks, int times)
{
    bool is_right = true;

    for (int i = 0; i < times; i++)
        is_right = blocks.step() && is_right;
    return is_right;
}
