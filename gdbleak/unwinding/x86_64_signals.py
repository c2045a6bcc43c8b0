"""Where the kernel puts the registers of an x86-64 thread that a signal interrupts.

A handler returns to code that does nothing but call rt_sigreturn(2). There the stack pointer is at
a `struct ucontext`. Source: Linux, arch/x86/include/uapi/asm/ucontext.h and sigcontext.h.
"""

from __future__ import annotations

from gdbleak.architectures import WORD_BYTES
from gdbleak.architectures.x86_64_frames import REGISTER_NUMBERS, RSP
from gdbleak.unwinding.frame_rows import Row, Rule, RuleKind

_REGISTERS = (
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"),
    *("rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp", "rip"),
)
_FIRST_REGISTER_OFFSET = 40
_BREG_RSP, _DEREF = bytes([0x70 + RSP]), b"\x06"


def _address(name: str) -> bytes:
    """Return a DWARF expression for the address of a saved register."""
    offset = _FIRST_REGISTER_OFFSET + WORD_BYTES * _REGISTERS.index(name)
    return _BREG_RSP + bytes([offset & 0x7F | 0x80, offset >> 7])


SIGNAL_RETURN_ROW = Row(
    _address("rsp") + _DEREF,
    {
        REGISTER_NUMBERS[name]: Rule(RuleKind.EXPRESSION, expression=_address(name))
        for name in _REGISTERS
        if name != "rsp"
    },
    is_signal_frame=True,
)
"""What the call frame information of glibc says, for C libraries without one."""

# mov $15, %rax or mov $15, %eax; syscall
_SIGNAL_RETURNS = (
    bytes.fromhex("48c7c00f000000 0f05"),
    bytes.fromhex("b80f000000 0f05"),
)
MAX_SIGNAL_RETURN_BYTES = max(map(len, _SIGNAL_RETURNS))


def is_signal_return(code: bytes) -> bool:
    """Return whether `code` begins with the instructions that handlers return to."""
    return code.startswith(_SIGNAL_RETURNS)
