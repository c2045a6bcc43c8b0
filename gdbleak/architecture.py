"""What the instruction set and calling convention decide.

Source: System V ABI, AMD64 supplement, 3.2.3 (parameter passing).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """Names are those of GDB's registers."""

    elf_machine_number: int
    """`e_machine` of its ELF files."""
    argument_registers: tuple[str, ...]
    result_register: str
    stack_pointer: str
    unwind_registers: tuple[str, ...]
    """Registers recorded at a return, beside the stack pointer, to unwind from."""
    breakpoint: bytes
    """The instruction GDB writes into the code."""


X86_64 = Architecture(
    elf_machine_number=62,
    argument_registers=("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
    result_register="rax",
    stack_pointer="rsp",
    unwind_registers=("rbp",),
    breakpoint=b"\xcc",
)
