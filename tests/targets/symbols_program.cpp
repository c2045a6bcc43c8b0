// Prints, for each call of `here`, a word and the return address relative to its module.
// The test finds the lines it expects by the words behind "at:".

#include <cstdio>
#include <cstdint>
#include <dlfcn.h>

extern "C" __attribute__((noinline)) void here(const char *word)
{
    void *address = __builtin_return_address(0);
    Dl_info module;
    if (dladdr(address, &module))
        printf("%s %#jx\n", word, (uintmax_t)address - (uintmax_t)module.dli_fbase);
}

#define INLINED inline __attribute__((always_inline))
#define KEPT __attribute__((noinline))
// Something of its own on either side of a call: the compiler can neither make it a jump, nor
// give the line that begins the function to the same instructions.
#define WORK __asm__ volatile("nop")

namespace shop {

struct Basket {};

template <typename T> INLINED void innermost(T)
{
    WORK;
    here("inlined"); // at: innermost
    WORK;
}

template <typename T> INLINED void middle(T item)
{
    WORK;
    innermost<T>(item); // at: middle
    WORK;
}

template <typename T> KEPT void outermost(T item, const Basket *)
{
    WORK;
    middle<T>(item); // at: outermost
    WORK;
}

KEPT Basket operator+(const Basket &, const Basket &)
{
    here("operator"); // at: operator
    WORK;
    return Basket();
}

} // namespace shop

extern "C" KEPT void exported()
{
    here("exported"); // at: exported
    WORK;
}

KEPT static void hidden()
{
    here("hidden"); // at: hidden
    WORK;
}

int main(int argc, char **argv)
{
    shop::Basket basket;
    shop::outermost<int>(1, &basket);
    (void)(basket + basket);
    exported();
    hidden();
    for (int i = 1; i < argc; i++) {
        void *library = dlopen(argv[i], RTLD_NOW);
        void *call = library ? dlsym(library, "library_call") : nullptr;
        if (!call)
            return 1;
        ((void (*)(void (*)(const char *)))call)(here);
    }
    return 0;
}
