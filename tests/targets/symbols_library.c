/* A shared library that calls what it is given. */

void library_call(void (*here)(const char *));

void library_call(void (*here)(const char *))
{
    here("library"); /* at: library */
    __asm__ volatile("");
}
