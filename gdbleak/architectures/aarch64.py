"""aarch64: tested on ELF files, and not yet on a process (docs/limits.md).

Sources, each "for the Arm 64-bit Architecture": Procedure Call Standard, 6.1 (registers) and 6.8
(parameters); ELF, 5.7.12 (dynamic relocations); DWARF, 4.1 (register numbers). Encodings: Arm
Architecture Reference Manual for A-profile, C6.2 (BL, BLR).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from gdbleak.architectures.decoder import Decoder, ReadCode
from gdbleak.architectures.model import Architecture, FrameConvention

_INSTRUCTION_BYTES = 4
_R_GLOB_DAT, _R_JUMP_SLOT, _R_IRELATIVE = 1025, 1026, 1032
_BL = 0b100101
"""The upper six bits of `bl`, the only call whose target stands in it."""
_INDIRECT_CALLS = ((0xFFFFFC1F, 0xD63F0000), (0xFEFFF800, 0xD63F0800))
"""Masks and bits of `blr`, and of those that check a signature: `blraa`, `blrabz`, ..."""


def iter_calls(code: bytes, address: int) -> Iterator[tuple[int, int]]:
    """Yield address and target of each `bl` in some code, given its address."""
    for index, (word,) in enumerate(struct.iter_unpack("<I", code[: len(code) & -4])):
        if word >> 26 == _BL:
            at = address + _INSTRUCTION_BYTES * index
            yield at, at + (((word & 0x3FF_FFFF) ^ 0x200_0000) - 0x200_0000) * _INSTRUCTION_BYTES


def _make_decoder(read: ReadCode) -> Decoder:
    from gdbleak.architectures.aarch64_decoder import AArch64Decoder  # loads capstone

    return AArch64Decoder(read)


AARCH64 = Architecture(
    elf_machine_number=183,
    argument_registers=tuple(f"x{number}" for number in range(8)),
    result_register="x0",
    stack_pointer="sp",
    unwind_registers=("x29", "x30"),
    breakpoint=b"\x00\x00\x20\xd4",  # brk #0
    slot_relocations=frozenset({_R_GLOB_DAT, _R_JUMP_SLOT}),
    resolver_relocation=_R_IRELATIVE,
    iter_calls=iter_calls,
    make_decoder=_make_decoder,
)


def ends_in_call(code: bytes) -> bool:
    """Return whether the last instruction of `code` is a call.

    >>> ends_in_call(bytes.fromhex("00000094"))  # bl
    True
    >>> ends_in_call(bytes.fromhex("c0035fd6"))  # ret
    False

    """
    word = int.from_bytes(code[-_INSTRUCTION_BYTES:], "little")
    return word >> 26 == _BL or any(word & mask == bits for mask, bits in _INDIRECT_CALLS)


AARCH64_FRAMES = FrameConvention(
    numbers={**{f"x{number}": number for number in range(31)}, "sp": 31},
    stack_pointer=31,
    frame_pointer=29,
    return_address=30,
    callee_saved=frozenset(range(19, 30)),
    has_link_register=True,
    signs_addresses=True,  # by `paciasp`
    ends_in_call=ends_in_call,
)
