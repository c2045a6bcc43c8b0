// Blocks that are kept, but of which nobody sees it.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "keeps.h"

uint64_t xored[COUNT], base;
uint64_t compressed[COUNT];
int64_t indices[COUNT];

WAY(hidden, xored)
{
    for (int i = 0; i < COUNT; i++)
        xored[i] = scrambled(way.fresh(i));
}

// By 32 bits each, and what has to be added is known but for once.
WAY(hidden, compressed)
{
    for (int i = 0; i < COUNT; i++) {
        const auto address = reinterpret_cast<uint64_t>(way.fresh(i));
        base = address >> 32;
        compressed[i] = static_cast<uint32_t>(address);
    }
}

WAY(hidden, index)
{
    for (int i = 0; i < COUNT; i++)
        indices[i] = static_cast<char *>(way.fresh(i)) - reinterpret_cast<char *>(indices);
}

WAY(hidden, epoll)
{
    const int poll = epoll_create1(0);
    for (int i = 0; i < COUNT; i++) {
        epoll_event event = {};
        event.data.ptr = way.fresh(i);
        if (epoll_ctl(poll, EPOLL_CTL_ADD, eventfd(0, 0), &event))
            abort();
    }
}

WAY(hidden, in_pipe)
{
    int ends[2];
    if (pipe(ends))
        abort();
    for (int i = 0; i < COUNT; i++) {
        void *block = way.fresh(i);
        if (write(ends[1], &block, sizeof block) != sizeof block)
            abort();
    }
}

WAY(hidden, timer)
{
    for (int i = 0; i < COUNT; i++) {
        sigevent event = {};
        timer_t timer;
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = SIGUSR2;
        event.sigev_value.sival_ptr = way.fresh(i);
        if (timer_create(CLOCK_MONOTONIC, &event, &timer))
            abort();
    }
}

WAY(hidden, in_file)
{
    char name[400];
    snprintf(name, sizeof name, "%s/keeps-XXXXXX", folder);
    const int file = mkstemp(name);
    for (int i = 0; i < COUNT; i++) {
        void *block = way.fresh(i);
        if (write(file, &block, sizeof block) != sizeof block)
            abort();
    }
}
