/* Eight threads wait in epoll_wait for ever. The line "leak N" leaks N blocks of 100 bytes; any other
 * is answered with how often one of them came back with EINTR.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

enum { THREADS = 8 };

static atomic_int interrupted;

static void *sleep_on(void *unused)
{
    struct epoll_event event;
    int file = epoll_create1(0);

    while (epoll_wait(file, &event, 1, -1) < 0 && errno == EINTR)
        interrupted++;
    return unused;
}

int main(void)
{
    pthread_t threads[THREADS];
    char command[64];
    int number;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, sleep_on, NULL);
    puts("ready");
    while (fgets(command, sizeof command, stdin)) {
        if (sscanf(command, "leak %d", &number) == 1) {
            for (int i = 0; i < number; i++) {
                void *volatile block = malloc(100);
                (void)block;
            }
            puts("leaked");
        } else {
            printf("%d\n", interrupted);
        }
    }
    return EXIT_SUCCESS;
}
