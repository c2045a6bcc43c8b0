/* Runs under a seccomp filter, or runs a command so.
 *
 *     filtered KIND [COMMAND ...]
 *
 * Without a command: two threads wait; "filter KIND" puts another filter on all threads, "allocate"
 * allocates and frees a thousand blocks; each is answered. Kinds:
 *     none      no filter
 *     narrow    kills for what resembles the calls of the recorder, but differs from them
 *     mmap      mmap of memory at a fixed place fails with EPERM
 *     madvise   kills for any madvise
 *     munmap    kills for any munmap
 *     pointer   looks at where a call comes from, and permits everything
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define WIPE_ON_FORK 18

enum { THREADS = 2, BLOCKS = 1000 };

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ARGUMENT(number) \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * (number))
#define IF(test, value, then, otherwise) BPF_JUMP(BPF_JMP | test | BPF_K, value, then, otherwise)
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
#define ALLOW RETURN(SECCOMP_RET_ALLOW)
#define KILL RETURN(SECCOMP_RET_KILL_PROCESS)

static struct sock_filter narrow[] = {
    LOAD(arch),
    IF(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0),
    KILL,
    LOAD(nr),
    IF(BPF_JEQ, SYS_mmap, 0, 7),
    ARGUMENT(3),
    IF(BPF_JSET, MAP_FIXED_NOREPLACE, 0, 3),
    IF(BPF_JEQ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, 0, 3),
    ARGUMENT(2),
    IF(BPF_JEQ, PROT_READ | PROT_WRITE, 0, 1),
    ALLOW,
    KILL,
    IF(BPF_JEQ, SYS_madvise, 0, 4),
    ARGUMENT(2),
    IF(BPF_JEQ, WIPE_ON_FORK, 2, 0),
    IF(BPF_JEQ, MADV_DONTNEED, 1, 0),
    KILL,
    ALLOW,
};

static struct sock_filter no_mmap[] = {
    LOAD(nr),
    IF(BPF_JEQ, SYS_mmap, 0, 3),
    ARGUMENT(3),
    IF(BPF_JSET, MAP_FIXED_NOREPLACE, 0, 1),
    RETURN(SECCOMP_RET_ERRNO | EPERM),
    ALLOW,
};

static struct sock_filter no_call[] = {
    LOAD(nr),
    IF(BPF_JEQ, 0, 0, 1),
    KILL,
    ALLOW,
};

static struct sock_filter pointer[] = {
    LOAD(instruction_pointer),
    IF(BPF_JEQ, 0, 0, 1),
    KILL,
    ALLOW,
};

static int put(struct sock_filter *code, size_t bytes)
{
    struct sock_fprog filter = {bytes / sizeof *code, code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
               || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter)
           ? -1 : 0;
}

static int put_kind(const char *kind)
{
    if (strcmp(kind, "none") == 0)
        return 0;
    if (strcmp(kind, "narrow") == 0)
        return put(narrow, sizeof narrow);
    if (strcmp(kind, "mmap") == 0)
        return put(no_mmap, sizeof no_mmap);
    if (strcmp(kind, "pointer") == 0)
        return put(pointer, sizeof pointer);
    no_call[1].k = strcmp(kind, "madvise") == 0 ? SYS_madvise : SYS_munmap;
    return put(no_call, sizeof no_call);
}

static void *be_there(void *nothing)
{
    pause();
    return nothing;
}

static void allocate(void)
{
    void *blocks[BLOCKS];

    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(100);
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
}

int main(int argc, char **argv)
{
    char line[100];
    pthread_t thread;

    if (argc > 2) {
        if (put_kind(argv[1]) == 0)
            execvp(argv[2], argv + 2);
        perror(argv[2]);
        return 127;
    }
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread, NULL, be_there, NULL);
    if (argc < 2 || put_kind(argv[1]) != 0) {
        perror("filtered");
        return 126;
    }
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "filter ", 7) == 0)
            puts(put_kind(line + 7) == 0 ? "filtered" : strerror(errno));
        else {
            allocate();
            puts("allocated");
        }
    }
}
