/* A process that means harm to whoever looks at it: obeys the lines that it reads. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[4096];
static size_t bytes;

/* Have a file mapped as a library is. */
static int map(void)
{
    struct stat status;
    int file = open(path, O_RDONLY);

    if (file < 0 || fstat(file, &status) != 0)
        return 0;
    bytes = (size_t)status.st_size < 65536 ? (size_t)status.st_size : 65536;
    void *place = mmap(NULL, bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
    close(file);
    return place != MAP_FAILED;
}

/* Lay another file system over the folder of that file, and a FIFO into its place. */
static int cover(void)
{
    char folder[4096];

    strcpy(folder, path);
    *strrchr(folder, '/') = '\0';
    return mount("none", folder, "tmpfs", 0, NULL) == 0 && mkfifo(path, 0666) == 0;
}

/* Cut the file and make it whole again, without pause. */
static void *shake(void *unused)
{
    struct stat status;

    for (int full = 0; stat(path, &status) == 0; full = !full)
        if (truncate(path, full ? 1 << 22 : 4096) != 0)
            break;
    return unused;
}

int main(void)
{
    pthread_t thread;
    char command[4200];
    int done = 0, number = 0;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    puts("ready");
    while (fgets(command, sizeof command, stdin)) {
        command[strcspn(command, "\n")] = '\0';
        if (sscanf(command, "map %4095[^\n]", path) == 1)
            done = map();
        else if (strcmp(command, "cover") == 0)
            done = cover();
        else if (strcmp(command, "shake") == 0)
            done = pthread_create(&thread, NULL, shake, NULL) == 0;
        else if (strcmp(command, "hide") == 0)
            done = prctl(PR_SET_DUMPABLE, 0) == 0;
        else if (sscanf(command, "leak %d", &number) == 1)
            for (done = 1; number > 0; number--) {
                void *volatile block = malloc(100);
                (void)block;
            }
        puts(done ? "done" : "failed");
    }
    return EXIT_SUCCESS;
}
