/* A chain of calls whose frames differ in how they are unwound. Every function notes the return
   address that the compiler knows, and none is left by a jump. */

#ifndef UNWIND_CHAIN_H
#define UNWIND_CHAIN_H

typedef void (*step)(void);

void note(void *return_address);

#define NOTE() note(__builtin_return_address(0))
#define CHAIN __attribute__((noinline, noclone))

/* From the library. */
CHAIN void with_alloca(step next, unsigned size);
CHAIN void with_saved_registers(step next);
void with_cfa_in_rbx(step next);

#endif
