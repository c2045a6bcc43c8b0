"""x86-64.

Source: System V ABI, AMD64 supplement, 3.2.3 (parameter passing) and 4.4 (relocation).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gdbleak.architectures.decoder import Decoder, ReadCode
from gdbleak.architectures.model import Architecture

_R_GLOB_DAT, _R_JUMP_SLOT, _R_IRELATIVE = 6, 7, 37
_CALL = re.compile(rb"\xe8(?=(.{4}))", re.DOTALL)


def iter_calls(code: bytes, address: int) -> Iterator[tuple[int, int]]:
    """Yield address and target of each `call` in some code, given its address."""
    for match in _CALL.finditer(code):
        end = address + match.end(1)
        yield address + match.start(), end + int.from_bytes(match[1], "little", signed=True)


def _make_decoder(read: ReadCode) -> Decoder:
    from gdbleak.architectures.x86_64_decoder import X86Decoder  # loads capstone

    return X86Decoder(read)


X86_64 = Architecture(
    elf_machine_number=62,
    argument_registers=("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
    result_register="rax",
    stack_pointer="rsp",
    unwind_registers=("rbp",),
    breakpoint=b"\xcc",
    slot_relocations=frozenset({_R_GLOB_DAT, _R_JUMP_SLOT}),
    resolver_relocation=_R_IRELATIVE,
    iter_calls=iter_calls,
    make_decoder=_make_decoder,
)
