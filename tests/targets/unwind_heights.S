/* Ends of functions, each from where a call returned to, for tests/unit/test_stack_height.py. */

        .text
        .macro  from name
        .p2align 4, 0xcc
        .globl  \name
\name:
        .endm

        from    add_and_pop
        add     $24, %rsp
        pop     %rbx
        pop     %rbp
        ret

        from    lea_and_move
        mov     8(%rsp), %rbx
        lea     40(%rsp), %rsp
        ret

        from    leaves
        mov     -8(%rbp), %rbx
        leave
        ret

        from    from_frame_pointer
        sub     %rax, %rsp
        lea     -16(%rbp), %rsp
        pop     %rbx
        pop     %r12
        pop     %rbp
        ret

        from    two_ways
        test    %eax, %eax
        jne     1f
        add     $8, %rsp
        pop     %rbx
        ret
1:      mov     $1, %eax
        add     $8, %rsp
        pop     %rbx
        ret

        from    loop
        call    *%rax
        dec     %ebx
        jne     loop
        pop     %rbx
        ret

        from    pushed_arguments
        add     $16, %rsp
        pushq   $1
        push    %rax
        call    *%rbx
        pop     %rdx
        pop     %rdx
        pop     %rbx
        ret

        from    saves_again
        push    %rbx
        mov     $1, %ebx
        pop     %rbx
        add     $8, %rsp
        ret

        from    tail_call
        add     $8, %rsp
        jmp     another
        .type   another, @function
another:
        push    %rbp
        mov     %rsp, %rbp
        push    %rbx
        call    *%rax
        pop     %rbx
        leave
        ret

        from    tail_call_through_slot
        pop     %rbx
        jmp     *slot(%rip)

        from    behind_abort
        jne     1f
        pop     %rbx
        ret
1:      call    *%rax
        nop
        .type   next_function, @function
next_function:
        sub     $40, %rsp
        call    *%rax
        add     $40, %rsp
        ret

        from    never_back
        call    *%rax
        hlt

        from    switches
        jmp     *(%rdx,%rax,8)

        from    switches_with_frame
        mov     %eax, -20(%rbp)
        jmp     *%rax

        from    disagree
        je      1f
        pop     %rbx
1:      ret

        from    saved_in_two_places
        je      1f
        mov     (%rsp), %rbx
        add     $24, %rsp
        ret
1:      mov     8(%rsp), %rbx
        add     $24, %rsp
        ret

        from    lost
        mov     %rax, %rbx
        and     $15, %ebp
        ret

        from    unknown_height
        and     $-64, %rsp
        ret

        from    writes_its_return_address
        mov     %rax, 8(%rsp)
        pop     %rbx
        ret

        from    overwrites_what_it_saved
        movl    $1, 4(%rsp)
        pop     %rbx
        ret

        from    returns_and_takes_arguments
        ret     $8

        from    endless
        jmp     endless

        .data
slot:   .quad   0
