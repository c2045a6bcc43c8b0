/* The leak of fibonacci.c, fixed: the memory of a term that is no longer needed is given back.
 *
 *     cc -O2 -g -pthread -o fibonacci_fixed fibonacci_fixed.c
 *     ./fibonacci_fixed [TERMS PER SECOND]
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DIGITS = 1024 };                              /* of a term, the lowest first, ... */
static const int64_t BASE = 1000000000000000000;     /* ... each worth 18 decimal ones */

/* The sum of two terms. Not inlined, so that it stays a function whatever the compiler thinks. */
__attribute__((noinline)) static int64_t *fibonacci(const int64_t *older, const int64_t *newer)
{
    int64_t *sum = calloc(DIGITS, sizeof *sum);
    int64_t carry = 0;

    if (sum == NULL) {
        perror("fibonacci");
        exit(EXIT_FAILURE);
    }
    for (int i = 0; i < DIGITS; i++) {
        sum[i] = older[i] + newer[i] + carry;
        carry = sum[i] >= BASE;
        sum[i] -= carry * BASE;
    }
    return sum;
}

static void *compute_terms(void *pause_us)
{
    int64_t *older = calloc(DIGITS, sizeof *older);
    int64_t *newer = calloc(DIGITS, sizeof *newer);

    if (older == NULL || newer == NULL) {
        perror("compute_terms");
        exit(EXIT_FAILURE);
    }
    newer[0] = 1;
    for (;;) {
        int64_t *next = fibonacci(older, newer);

        free(older);
        older = newer;
        newer = next;
        usleep(*(useconds_t *)pause_us);
    }
}

int main(int argc, char **argv)
{
    double rate = argc > 1 ? atof(argv[1]) : 1;
    useconds_t pause_us;
    sigset_t ending;
    pthread_t thread;
    int signal_number;

    if (!(rate >= 0.001 && rate <= 1000000)) {
        fprintf(stderr, "usage: %s [TERMS PER SECOND]\n", argv[0]);
        return 2;
    }
    pause_us = (useconds_t)(1000000 / rate);

    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ending, NULL);
    if (pthread_create(&thread, NULL, compute_terms, &pause_us) != 0) {
        fputs("no thread could be started\n", stderr);
        return EXIT_FAILURE;
    }
    printf("pid %d computes %.10g Fibonacci numbers a second\n", (int)getpid(), rate);
    fflush(stdout);
    sigwait(&ending, &signal_number);
    return EXIT_SUCCESS;
}
