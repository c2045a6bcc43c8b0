/* A program whose work is done by a library: puppet.c built with -Dmain=run. */
int run(void);

int main(void)
{
    volatile int status = run(); /* no tail call: main is to be on the stack */

    return status;
}
