/* Allocates and frees RATE times a second, 0 for without pause, until there is a line on stdin. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int count, char **arguments)
{
    long rate = count > 1 ? atol(arguments[1]) : 0, rounds = 0;
    struct timespec pause = {rate == 1, rate > 1 ? 1000000000L / rate : 0};
    struct pollfd input = {0, POLLIN, 0};

    puts("ready");
    fflush(stdout);
    while (ppoll(&input, 1, &pause, NULL) <= 0) {
        void *volatile block = malloc(100);
        free(block);
        rounds++;
    }
    printf("%ld rounds\n", rounds);
    return EXIT_SUCCESS;
}
