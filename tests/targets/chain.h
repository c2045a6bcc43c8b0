/* A chain of 30 functions, alternately in one shared library and in the other, each of which notes
 * where it will return to. The last one allocates.
 */
#include <stddef.h>

struct trail {
    int length;
    const char *functions[32];      /* the outermost first */
    void *returns[32];              /* into the function before */
    int sum;
    void *block;
};

/* Frames of many sizes; something to do after the call, and registers to save for it. */
#define LINK(name, next, size)                                              \
    void next(struct trail *);                                              \
    void name(struct trail *trail)                                          \
    {                                                                       \
        volatile char scratch[size];                                        \
        int mine = trail->length++;                                         \
        scratch[mine % (size)] = 1;                                         \
        trail->functions[mine] = #name;                                     \
        trail->returns[mine] = __builtin_return_address(0);                 \
        next(trail);                                                        \
        trail->sum += scratch[mine % (size)];                               \
    }
