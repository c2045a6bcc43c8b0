/* Grows by KIB a second, in tenths of a second: steadily, or `once`, or up and down (`saws`). */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **arguments)
{
    size_t step = (size_t)atol(arguments[1]) * 1024 / 10;
    const char *how = count > 2 ? arguments[2] : "steadily";
    struct pollfd input = {0, POLLIN, 0};
    char *held[10] = {0};

    puts("ready");
    fflush(stdout);
    for (int n = 0; poll(&input, 1, 100) == 0; n++) {
        if (strcmp(how, "once") == 0 && n != 10)
            continue;
        char *block = memset(malloc(step), 'x', step);
        if (strcmp(how, "saws") == 0) {
            held[n % 10] = block;
            for (int i = 0; n % 10 == 9 && i < 10; i++)
                free(held[i]);
        }
    }
    return EXIT_SUCCESS;
}
