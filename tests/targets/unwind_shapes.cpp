// Functions whose call frame information has many shapes: exceptions, landing pads, early exits,
// large and aligned locals.

#include <alloca.h>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

__attribute__((noinline)) static int throwing(int depth, const std::string &text)
{
    std::vector<std::string> copies(static_cast<std::size_t>(depth), text);
    if (depth == 0)
        throw std::runtime_error(text);
    try {
        return throwing(depth - 1, text + "x") + static_cast<int>(copies.size());
    } catch (const std::logic_error &) {
        return 1;
    }
}

__attribute__((noinline)) static long aligned(int a, int b, int c, int d, int e, int f, long size)
{
    volatile long local[16] __attribute__((aligned(128)));
    volatile char *block = static_cast<volatile char *>(alloca(static_cast<std::size_t>(size)));
    local[a & 15] = block[0] = static_cast<char>(b + c + d + e + f);
    std::puts("");
    return local[0] + block[size - 1];
}

__attribute__((noinline, force_align_arg_pointer)) static int realigned(int value)
{
    if (value > 3) {
        std::printf("%d\n", value);
        return realigned(value - 1) + realigned(value - 2);
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc > 10)
        return static_cast<int>(aligned(1, 2, 3, 4, 5, 6, argc)) + realigned(argc);
    try {
        return throwing(argc, argv[0]);
    } catch (const std::exception &error) {
        std::puts(error.what());
    }
    return 0;
}
