// Blocks of exact label: each is kept, lost or hidden in a way of its own. Argument: a folder for
// files. Says "ready", then obeys lines:
//
//     go KIND...  allocates those of some kinds, or of all: ok
//     labels      for each block "LABEL KIND ADDRESS SIZE LINKS", then "end COUNT KEY": the address
//                 is hexadecimal and XORed with the KEY; from the offset LINKS on each byte is
//                 0x80 | SIZE % 128
//     stir on     threads move pointers between places without a pause: ok
//     stir off    each of them has put what it moved down and waits: ok
//     moves       how often each of them has moved something
//
// LABEL: kept   a pointer to it is in memory or in a register that code may use
//        lost   no code can find it any more
//        hidden code can find it, but no aligned pointer to it is in readable memory
//        stale  lost, but a pointer that nobody uses is left of it
//
// Of no block is there a pointer elsewhere than where its way puts it: it is made in a thread whose
// stack is wiped, and its label is scrambled.
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keeps.h"

enum { LABELS = 4096, RESIZED = 8, STACK = 1 << 20 };
enum { FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129 };

struct Entry {
    const Way *way;
    uint64_t address;  // scrambled
    size_t size, links;
};

struct Resized {
    uint64_t address;  // scrambled
    size_t size;
};

void *smaller[RESIZED];
static Resized resized[RESIZED];
static int resized_count;
static Entry entries[LABELS];
static int entry_count;
static Way *ways;
static char *stack;
static int settled, idle, nothing;
static unsigned moves[MOVERS];

const char *folder;
void *volatile *in_main;
uint64_t parcel[COUNT];
int stirring;

static void insist(bool is_true)
{
    if (!is_true)
        abort();
}

Way::Way(Label label, const char *kind, void (*make)(const Way &))
    : label(label), kind(kind), make(make), next(ways)
{
    ways = this;
}

void Way::note(const void *block, size_t size, size_t links) const
{
    insist(block && entry_count < LABELS);
    entries[entry_count++] = {this, scrambled(block), size, links};
}

void *Way::prepare(void *block, size_t size, size_t links) const
{
    memset(block, static_cast<int>(0x80 | size % 128), size);
    note(block, size, links);
    return block;
}

void *Way::fresh(int number, size_t links) const
{
    return prepare(malloc(size_of(number)), size_of(number), links);
}

void forget(const void *block)
{
    const uint64_t address = scrambled(block);
    int i = entry_count;
    while (entries[--i].address != address)
        insist(i > 0);
    entries[i] = entries[--entry_count];
}

void resize_at_end(void *block, size_t size)
{
    insist(resized_count < RESIZED);
    resized[resized_count++] = {scrambled(block), size};
}

static void *resize(void *)
{
    for (int i = 0; i < resized_count; i++) {
        void *block = reinterpret_cast<void *>(resized[i].address ^ KEY);
        if (resized[i].size)
            smaller[i] = realloc(block, resized[i].size);
        else
            free(block);
    }
    return nullptr;
}

// Runs a function in a thread whose stack, registers and TLS are gone and wiped on return.
static void run_and_wipe(void *(*function)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    insist(pthread_attr_setstack(&attributes, stack, STACK) == 0);
    insist(pthread_create(&thread, &attributes, function, argument) == 0);
    insist(pthread_join(thread, nullptr) == 0);
    pthread_attr_destroy(&attributes);
    memset(stack, 0, STACK);
    escape(stack);
}

static void *make(void *argument)
{
    const Way *way = static_cast<const Way *>(argument);
    way->make(*way);
    return nullptr;
}

// Returns whether a name is one of the words of a line, of which there may be none.
static bool is_named(const char *name, const char *words)
{
    const size_t length = strlen(name);
    const char *found = words;
    while ((found = strstr(found, name)))
        if (found[-1] == ' ' && (found[length] == ' ' || !found[length]))
            return true;
        else
            found++;
    return !*words;
}

static void make_all(const char *kinds)
{
    for (Way *way = ways; way; way = way->next)
        if (is_named(way->kind, kinds))
            run_and_wipe(make, way);
    run_and_wipe(resize, nullptr);
    memset(parcel, 0, sizeof parcel);
}

void *__attribute__((noinline)) unpack(int number)
{
    return reinterpret_cast<void *>(parcel[number] ^ KEY);
}

static void wait_while(int *word, int value)
{
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void settle()
{
    __atomic_store_n(&settled, 1, __ATOMIC_SEQ_CST);
}

void block()
{
    for (;;)
        wait_while(&nothing, 0);
}

void start_resident(void *(*work)(void *), void *argument)
{
    pthread_t thread;
    settled = 0;
    insist(pthread_create(&thread, nullptr, work, argument) == 0);
    insist(pthread_detach(thread) == 0);
    while (!__atomic_load_n(&settled, __ATOMIC_SEQ_CST))
        sched_yield();
}

void before_move(int mover)
{
    __atomic_add_fetch(&moves[mover], 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&stirring, __ATOMIC_SEQ_CST))
        return;
    __atomic_add_fetch(&idle, 1, __ATOMIC_SEQ_CST);
    settle();
    wait_while(&stirring, 0);
    __atomic_sub_fetch(&idle, 1, __ATOMIC_SEQ_CST);
}

static int mover_count()
{
    int count = 0;
    for (unsigned number : moves)
        count += number > 0;
    return count;
}

static void stir(bool is_on)
{
    __atomic_store_n(&stirring, is_on, __ATOMIC_SEQ_CST);
    if (is_on)
        syscall(SYS_futex, &stirring, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
    else
        while (__atomic_load_n(&idle, __ATOMIC_SEQ_CST) < mover_count())
            sched_yield();
}

static void say(const char *text, int length)
{
    while (length > 0) {
        const ssize_t written = write(STDOUT_FILENO, text, length);
        insist(written > 0 || errno == EINTR);
        if (written > 0)
            text += written, length -= written;
    }
}

#define SAY(...)                                                                                   \
    do {                                                                                           \
        char line[200];                                                                            \
        say(line, snprintf(line, sizeof line, __VA_ARGS__));                                       \
    } while (false)

static void print_labels()
{
    static const char *const names[] = {"kept", "lost", "hidden", "stale"};
    for (int i = 0; i < entry_count; i++) {
        const Entry &entry = entries[i];
        SAY("%s %s %lx %zu %zu\n", names[static_cast<int>(entry.way->label)], entry.way->kind,
            entry.address, entry.size, entry.links);
    }
    SAY("end %d %lx\n", entry_count, KEY);
}

static void print_moves()
{
    for (unsigned count : moves)
        SAY("%u ", count);
    SAY("\n");
}

// Reads a line without its end; returns false after the last.
static bool read_line(char *line, int size)
{
    for (int length = 0; length < size; length++) {
        ssize_t got;
        while ((got = read(STDIN_FILENO, line + length, 1)) < 0 && errno == EINTR) {
        }
        if (got <= 0)
            return false;
        if (line[length] == '\n')
            return line[length] = '\0', true;
    }
    return false;
}

int main(int argc, char **argv)
{
    void *volatile held[COUNT] = {};
    char line[400];

    insist(argc == 2);
    folder = argv[1];
    in_main = held;
    stack = static_cast<char *>(mmap(nullptr, STACK, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    insist(stack != MAP_FAILED);
    prepare_older();
    SAY("ready\n");
    while (read_line(line, sizeof line)) {
        if (!strncmp(line, "go", 2))
            make_all(line + 2);
        else if (!strcmp(line, "stir on") || !strcmp(line, "stir off"))
            stir(!strcmp(line, "stir on"));
        else if (strcmp(line, "labels") != 0 && strcmp(line, "moves") != 0)
            _exit(2);
        if (!strcmp(line, "labels"))
            print_labels();
        else if (!strcmp(line, "moves"))
            print_moves();
        else
            SAY("ok\n");
    }
    escape(held);
    _exit(0);
}
