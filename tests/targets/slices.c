/* Takes pieces of memory from GLib's slice allocator and keeps every fourth of them. */
#include <glib.h>
#include <stdio.h>

enum { PIECES = 20, BYTES = 48 };

static __attribute__((noinline)) void keep_some(void)
{
    for (int i = 0; i < PIECES; i++) {
        gpointer piece = g_slice_alloc(BYTES);

        if (i % 4)
            g_slice_free1(BYTES, piece);
    }
}

int main(void)
{
    char line[16];

    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        keep_some();
        puts("done");
        fflush(stdout);
    }
}
