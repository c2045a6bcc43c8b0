/* Maps the file of its program once more, as what reads its symbols does. Says "ready". */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    int file = open("/proc/self/exe", O_RDONLY);

    if (malloc(1000) == NULL || mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, file, 0) == MAP_FAILED)
        return 1;
    puts("ready");
    fflush(stdout);
    pause();
    return 0;
}
