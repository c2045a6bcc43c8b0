/*
 * What the inline probe writes into a target, before the trampolines: the recorder, and the
 * routines that map and unmap the ring it writes into. x86-64.
 *
 * It runs at whatever address it is written to, in any thread, between any two instructions of the
 * allocator's callers, and in signal handlers that interrupt itself. So it calls nothing, waits for
 * nothing, keeps nothing between two calls, changes no register but the flags, and does not touch
 * the vector registers and the x87. Each `call` has its `ret`, as shadow stacks ask. Behind each
 * `call`, the slot in which the return address was is zeroed: no word that is left over on a stack
 * may look as if somebody were still to return here. A signal handler does not write there before
 * that, for the 128 bytes below the stack pointer are not its own.
 *
 * `make payload` turns this file into recorder.bin and recorder.labels; see payload.py for the
 * trampolines, and ring.py for what the ring looks like. The names of both are the same.
 */

        .set    PAGE_BYTES, 4096
        .set    UNIT_BYTES, 64
        .set    WORD_BYTES, 8
        .set    ON, 0x00
        .set    MAPPED, 0x08
        .set    DONE, 1
        .set    WIPED, 2
        .set    TICKETS, 0x40
        .set    READ, 0x80
        .set    STACK_BYTES, 0x88
        .set    MORE_STACK_BYTES, 0x90
        .set    MORE_STACK_MASK, 0x98
        .set    MAIN_STACK, 0xa0
        .set    STACK_BLOCK, 0xb0
        .set    LITTLE_STACK_BYTES, 0xb8
        .set    UNREAD, 0x100
        .set    MANY_UNREAD, 1 << 26
        .set    DROPPED, 0x108
        .set    LEVELS, 5
        .set    HASH_SHIFT, 4
        .set    HASH_FACTOR, 0x9e3779b97f4a7c15
        .set    INFO, 1
        .set    ADDRESS, 2
        .set    SIZE, 3
        .set    FACTOR, 4
        .set    THREAD, 5
        .set    STACK_POINTER, 6
        .set    FRAME_POINTER, 7

        .text
image:

/* What the builder fills in, a word each. */
ring:           .quad   0       # address of the ring
ring_size:      .quad   0       # bytes of its mapping
last_unit:      .quad   0       # number of its units, less one
half:           .quad   0       # half of their number
last_bit:       .quad   0       # logarithm of their number, less one
own_code:       .quad   0       # where the allocator's code begins whose calls are its own
own_size:       .quad   0       # bytes of that code
own_to_image:   .quad   0       # what to add to get from there to the image
image_size:     .quad   0       # bytes of the image, with the trampolines
pad:            .quad   0       # address of the pad, if there is one
least_chunk:    .quad   0       # where only blocks of some sizes are recorded: the smallest chunk
chunk_span:     .quad   0       # by how much the largest one is larger
least_request:  .quad   0       # the same of requests, where sizes do not stand before blocks
request_span:   .quad   0

/* Filled in before a thread is set to `map_ring` or `unmap_ring`: where it goes on. */
resume:         .quad   0       # the address at which it was
resume_again:   .quad   0       # two bytes before, where the kernel repeats its system call

/* Constants. */
factor:         .quad   HASH_FACTOR
nothing:        .quad   0, 0    # size and factor of an event that has none

/* What the program may have in registers that a function may change: behind rax, and all of them. */
        .macro  PUSH_OTHERS
        .irp    register, rcx, rdx, rsi, rdi, r8, r9, r10, r11
        push    %\register
        .endr
        .endm
        .macro  POP_ALL
        .irp    register, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax
        pop     %\register
        .endr
        .endm

/*
 * Called by a trampoline before it pushes anything. Sets the carry flag unless the call is to be
 * recorded whose return address is on the stack: if recording is off, or if the call comes from the
 * allocator itself, directly or by way of a trampoline, which returns to the image or to the pad.
 */
        .balign 16
gate:
        push    %rax
        mov     ring(%rip), %rax
        cmpl    $1, ON(%rax)
        jb      gated
        mov     16(%rsp), %rax
        sub     own_code(%rip), %rax
        cmp     own_size(%rip), %rax
        jb      gated
        add     own_to_image(%rip), %rax
        cmp     image_size(%rip), %rax
        jb      gated
        mov     16(%rsp), %rax
        sub     pad(%rip), %rax
        cmp     $1, %rax
gated:
        pop     %rax
        ret

/*
 * Called by a trampoline when a block is about to be freed or resized. On the stack: the block,
 * then the return address of the program's call. There is no event of a null pointer.
 */
        .balign 16
record_entry:
        push    %rax
        mov     16(%rsp), %rax
        test    %rax, %rax
        jz      leave_at_once
        PUSH_OTHERS
        lea     nothing(%rip), %r11
record_entered:
        lea     88(%rsp), %r8
        mov     ring(%rip), %rdi
        mov     %rax, %rsi
        xor     %r10d, %r10d
        mov     $1, %edx
        jmp     sized                           # who frees a block is not asked

/* The same for an allocator whose blocks have their sizes in the word before them. The one behind
 * that is no factor, and nobody takes it for one. */
record_sized_entry:
        push    %rax
        mov     16(%rsp), %rax
        test    %rax, %rax
        jz      leave_at_once
        PUSH_OTHERS
        lea     -WORD_BYTES(%rax), %r11
        jmp     record_entered

/*
 * Called by a trampoline when a function has returned that stores its result: 0 in eax, then, if a
 * block was handed out. On the stack: size, factor, where the result was stored, and the return
 * address of the program's call.
 */
record_out:
        push    %rax
        test    %eax, %eax
        jnz     leave_at_once
        mov     32(%rsp), %rax
        mov     (%rax), %rax
        test    %rax, %rax
        jnz     record_call
leave_at_once:
        pop     %rax
        ret

/*
 * Called when a function has returned its result in rax. On the stack: size, factor, any word, and
 * the return address. `record_result` records nothing if there is no result; `record_resized` does.
 */
        .balign 16
record_result:
        test    %rax, %rax
        jnz     record_resized
        ret
record_resized:
        push    %rax
record_call:
        PUSH_OTHERS
        lea     104(%rsp), %r8
        lea     80(%rsp), %r11

/*
 * Writes an event. Above the nine registers that were pushed is the trampoline's return address,
 * which says where the event is from. From here on:
 *
 *      rdi     ring
 *      rax     the block, later the first of the event's units, counted since ever
 *      r8      where the return address of the program's call is: the copy of the stack begins there
 *      r10     bytes of that copy
 *      r11     where size and factor are
 *      rdx     number of the event's units
 */
record:
        mov     ring(%rip), %rdi
        mov     %rax, %rsi

/* How much of the stack is wanted: little, once a quarter of the units is unread, for the reader may
 * come too late to ask for that, and what is left out then is missed for the rest of the window. */
        mov     STACK_BYTES(%rdi), %r10
        mov     TICKETS(%rdi), %rcx
        sub     READ(%rdi), %rcx
        add     %rcx, %rcx
        mov     LITTLE_STACK_BYTES(%rdi), %rdx
        cmp     %r10, %rdx
        cmova   %r10, %rdx
        cmp     half(%rip), %rcx
        cmovg   %rdx, %r10

/* More of chosen blocks even then, so that whole call stacks are always known. */
        shr     $HASH_SHIFT, %rax
        imul    factor(%rip), %rax
        shr     $32, %rax
        test    %rax, MORE_STACK_MASK(%rdi)
        cmovz   MORE_STACK_BYTES(%rdi), %r10

/* How far the stack can be read for sure: the main thread's to its end, another's to the block of
 * its thread, which stands at the end of its stack; one that nobody knows to the end of the page. */
        mov     MAIN_STACK + WORD_BYTES(%rdi), %rcx
        cmp     %rcx, %r8
        jae     not_main
        cmp     MAIN_STACK(%rdi), %r8
        jae     bounded
not_main:
        mov     STACK_BLOCK(%rdi), %rax
        test    %rax, %rax
        jz      unknown_stack
        mov     %fs:(%rax), %rax
        test    %rax, %rax
        jz      unknown_stack
        cmp     %rax, %r8
        jb      unknown_stack
        mov     %fs:0, %rcx
        cmp     %rcx, %r8
        jb      bounded
unknown_stack:
        mov     %r8, %rcx
        or      $PAGE_BYTES - 1, %rcx
        inc     %rcx
bounded:
        sub     %r8, %rcx
        cmp     %rcx, %r10
        cmova   %rcx, %r10
        and     $-WORD_BYTES, %r10

/* One unit, and one for every seven words of the stack: (n + 6) / 7 without a division, which is
 * exact for all that fit into the field of INFO. */
        lea     48(%r10), %edx
        shr     $3, %edx
        imul    $9363, %edx, %edx
        shr     $16, %edx
        inc     %edx
sized:

/* In rcx: how many units are free, less one. More than there are if the reader has come between the
 * two words: then most of them. */
        mov     TICKETS(%rdi), %rax
        mov     last_unit(%rip), %rcx
        add     READ(%rdi), %rcx
        sub     %rax, %rcx
        cmp     %rcx, %rdx
        jg      full
        cmp     half(%rip), %rcx
        jl      crowded

/* Claim the units. Should so many others have claimed theirs meanwhile that these are not free any
 * more, nothing is written there, and the reader finds a hole. */
claim:
        mov     %rdx, %rax
        lock xadd %rax, TICKETS(%rdi)
        lea     (%rax,%rdx), %rcx
        sub     READ(%rdi), %rcx
        cmp     last_unit(%rip), %rcx
        jg      full

/* The event's first unit, in rcx, but for its first word. */
        mov     %rax, %rcx
        and     last_unit(%rip), %rcx
        shl     $6, %rcx
        lea     PAGE_BYTES(%rdi,%rcx), %rcx
        mov     72(%rsp), %r9
        lea     image(%rip), %rdi
        sub     %rdi, %r9
        shl     $16, %rdx
        or      %r10, %rdx
        shl     $16, %rdx
        or      %r9, %rdx
        mov     %rdx, INFO * WORD_BYTES(%rcx)
        mov     %rsi, ADDRESS * WORD_BYTES(%rcx)
        mov     (%r11), %rsi
        mov     %rsi, SIZE * WORD_BYTES(%rcx)
        mov     WORD_BYTES(%r11), %rsi
        mov     %rsi, FACTOR * WORD_BYTES(%rcx)
        mov     %fs:0, %rsi
        mov     %rsi, THREAD * WORD_BYTES(%rcx)
        mov     %r8, STACK_POINTER * WORD_BYTES(%rcx)
        mov     %rbp, FRAME_POINTER * WORD_BYTES(%rcx)
        lea     3(%rax,%rax), %r11
        mov     ring(%rip), %rdi
        mov     last_unit(%rip), %r9

/* The copy of the stack, into one unit after the other: in rdx where that is, in rax its number.
 * Stores become visible in the order in which they stand here, so a unit is complete when its first
 * word is there, and so is the event when the first word of its first unit is. */
        .macro  NEXT_UNIT
        inc     %rax
        mov     %rax, %rdx
        and     %r9, %rdx
        shl     $6, %rdx
        lea     PAGE_BYTES(%rdi,%rdx), %rdx
        .endm
        .macro  STAMP
        lea     2(%rax,%rax), %rsi
        mov     %rsi, (%rdx)
        .endm

copy_unit:
        sub     $UNIT_BYTES - WORD_BYTES, %r10
        jb      copy_rest
        NEXT_UNIT
        .irp    offset, 0, 8, 16, 24, 32, 40, 48
        mov     \offset(%r8), %rsi
        mov     %rsi, WORD_BYTES + \offset(%rdx)
        .endr
        STAMP
        add     $UNIT_BYTES - WORD_BYTES, %r8
        jmp     copy_unit
copy_rest:
        add     $UNIT_BYTES - WORD_BYTES, %r10
        jz      copied
        NEXT_UNIT
copy_word:
        sub     $WORD_BYTES, %r10
        mov     (%r8,%r10), %rsi
        mov     %rsi, WORD_BYTES(%rdx,%r10)
        jnz     copy_word
        STAMP
copied:
        mov     %r11, (%rcx)
leave:
        POP_ALL
        ret

/* Half of the units are taken or more: at level L in ecx the lot has to end in L zeros. rcx was at
 * least the number of units, so it has a highest bit. A lot of 0 ends in zeros alone. Multiplied
 * only once, addresses that are equally far from each other would be kept in runs. */
crowded:
        bsr     %rcx, %rcx
        sub     last_bit(%rip), %ecx
        neg     %ecx
        cmp     $LEVELS, %ecx
        ja      full
        mov     %rsi, %r9
        shr     $HASH_SHIFT, %r9
        imul    factor(%rip), %r9
        mov     %r9, %rax
        shr     $32, %rax
        xor     %rax, %r9
        imul    factor(%rip), %r9
        shr     $32, %r9
        bsf     %r9, %r9
        jz      claim
        cmp     %ecx, %r9d
        jae     claim
        jmp     drop
full:
        mov     $LEVELS + 1, %ecx

/* Count what is left out. If nobody has read for long, nobody will; how long is counted without a
 * lock, for some more or less do not matter. */
drop:
        lock incq DROPPED(%rdi,%rcx,WORD_BYTES)
        incq    UNREAD(%rdi)
        cmpq    $MANY_UNREAD, UNREAD(%rdi)
        jbe     leave
        movl    $0, ON(%rdi)
        jmp     leave

/*
 * A thread is set here from wherever it is, and goes on there afterwards, at the address in
 * `resume`. If it was in a system call that the kernel repeats after a signal or a debugger, the
 * kernel sets it two bytes back from here, as it would have there, and the word behind `resume`
 * says where the system call is. What lies below its stack pointer may be in use. On the stack: its
 * flags, then a word that says what to do: a sum of these.
 */
        .set    AGAIN, 1
        .set    UNMAP, 2
        .macro  ENTER what
        lea     -128(%rsp), %rsp
        pushfq
        push    $\what
        .endm

        .byte   0xeb, map_again - map_ring      # jmp map_again
map_ring:
        ENTER   0
        jmp     entered
        .byte   0xeb, unmap_again - unmap_ring  # jmp unmap_again
unmap_ring:
        ENTER   UNMAP
        jmp     entered
map_again:
        ENTER   AGAIN
        jmp     entered
unmap_again:
        ENTER   UNMAP + AGAIN
entered:
        push    %rax
        PUSH_OTHERS
        mov     ring(%rip), %rdi
        mov     ring_size(%rip), %rsi
        testb   $UNMAP, 72(%rsp)
        jnz     unmap

/* Private and anonymous, where nothing is yet, and without a reserve of memory: so it is not counted
 * among what the kernel has promised, nor once more for each child, unless that limit is strict. */
        .set    PROT_READ_WRITE, 1 + 2
        .set    MAP_FLAGS, 0x02 + 0x20 + 0x4000 + 0x100000
        mov     $PROT_READ_WRITE, %edx
        mov     $MAP_FLAGS, %r10d
        mov     $-1, %r8
        xor     %r9d, %r9d
        mov     $9, %eax                        # mmap
        call    system_call
        movq    $0, -8(%rsp)
        cmp     %rdi, %rax
        jne     not_mapped

/* In a child of fork all of it is empty, so the child records nothing. It is there, though: the
 * child may be of a signal handler that came in the midst of writing an event, and return there. */
        .set    MADV_WIPEONFORK, 18
        mov     $MADV_WIPEONFORK, %edx
        mov     $28, %eax                       # madvise
        call    system_call
        movq    $0, -8(%rsp)
        xor     %edx, %edx
        test    %eax, %eax
        setz    %dl
        lea     DONE(,%rdx,WIPED), %edx
        mov     %rdx, MAPPED(%rdi)
        jmp     go_on

/* A kernel before 4.17 maps it elsewhere if something is there. Errors are the last 4095 numbers. */
not_mapped:
        cmp     $-4096, %rax
        ja      go_on
        mov     %rax, %rdi
unmap:
        mov     $11, %eax                       # munmap
        call    system_call
        movq    $0, -8(%rsp)

/* The flags last, and nothing read from below the stack pointer: so two ways out. */
go_on:
        testb   $AGAIN, 72(%rsp)
        POP_ALL
        lea     8(%rsp), %rsp
        jnz     go_on_again
        popfq
        lea     128(%rsp), %rsp
        jmp     *resume(%rip)
go_on_again:
        popfq
        lea     128(%rsp), %rsp
        jmp     *resume_again(%rip)

/* The only system call there is. */
system_call:
        syscall
        ret

/*
 * What is only there where blocks of some sizes are recorded, and no others. A trampoline calls it
 * instead of `record_sized_entry`, `record_out`, `record_result` or `record_resized`.
 *
 * The word before a block is the size of its chunk with flags. That changes in a resize only, as long
 * as the block is in use: so a block whose beginning was recorded is told by it when it is freed.
 */
        .balign 16
choosing:
        .set    FLAGS, 7
        .macro  CHOOSE_CHUNK                    # rax is the block: not above, if it is to be recorded
        mov     -WORD_BYTES(%rax), %rax
        and     $~FLAGS, %rax
        sub     least_chunk(%rip), %rax
        cmp     chunk_span(%rip), %rax
        .endm

/* Of a block of another size the word on the stack is cleared, as if there were none: that tells
 * `record_chosen_resized` that nothing was recorded before. */
record_chosen_entry:
        push    %rax
        mov     16(%rsp), %rax
        test    %rax, %rax
        jz      leave_at_once
        CHOOSE_CHUNK
        pop     %rax
        jbe     record_sized_entry
        movq    $0, 8(%rsp)
        ret

record_chosen_out:
        push    %rax
        test    %eax, %eax
        jnz     leave_at_once
        mov     32(%rsp), %rax
        mov     (%rax), %rax
        test    %rax, %rax
        jz      leave_at_once
        CHOOSE_CHUNK
        pop     %rax
        jbe     record_out
        ret

        .balign 16
record_chosen_result:
        test    %rax, %rax
        jz      not_chosen
        push    %rax
        CHOOSE_CHUNK
        pop     %rax
        jbe     record_resized
not_chosen:
        ret

/* A block that was resized to another size counts as freed: there is an event as of a resize to
 * nothing, if there was one before. */
record_chosen_resized:
        test    %rax, %rax
        jz      was_chosen
        push    %rax
        CHOOSE_CHUNK
        pop     %rax
        jbe     record_resized
        cmpq    $0, 24(%rsp)
        je      not_chosen
record_gone:
        push    %rax
        xor     %eax, %eax
        PUSH_OTHERS
        lea     104(%rsp), %r8
        lea     nothing(%rip), %r11
        jmp     record
was_chosen:
        cmpq    $0, 24(%rsp)
        jne     record_resized
        ret

/* The same of an allocator that does not tell sizes: blocks are chosen by what was requested, and
 * all of them are recorded when they are freed or about to be resized. */
        .macro  CHOOSE_REQUEST                  # on the stack: one word more than above
        mov     16(%rsp), %rax
        imul    24(%rsp), %rax
        sub     least_request(%rip), %rax
        cmp     request_span(%rip), %rax
        .endm

record_requested_out:
        push    %rax
        CHOOSE_REQUEST
        pop     %rax
        jbe     record_out
        ret

        .balign 16
record_requested_result:
        push    %rax
        CHOOSE_REQUEST
        pop     %rax
        jbe     record_result
        ret

record_requested_resized:
        push    %rax
        CHOOSE_REQUEST
        pop     %rax
        jbe     record_resized
        test    %rax, %rax
        jnz     record_gone
        jmp     record_resized
