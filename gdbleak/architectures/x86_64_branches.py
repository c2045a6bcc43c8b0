"""Where the code of x86-64 may lead, found without decoding it: fast, and never too little.

Bytes that only look like a branch may be among what is found. Encodings: Intel's manual, volume 2,
CALL, JMP, Jcc, LOOP, LEA.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class Branch(NamedTuple):
    """What may be a branch, or a use of a pointer to a function."""

    address: int
    target: int
    """Where it leads to, or the slot that holds the pointer."""
    is_call: bool


class JumpTable(NamedTuple):
    """What may be the table of a `switch`."""

    address: int
    is_relative: bool
    """Its entries are numbers of four bytes from the table on; otherwise addresses of eight."""


# The displacement is looked at and not consumed, because the next match may begin in it.
_LONG = re.compile(rb"(?:[\xe8\xe9]|\x0f[\x80-\x8f])(?=(.{4}))", re.DOTALL)
_SHORT = re.compile(rb"[\x70-\x7f\xe0-\xe3\xeb](?=(.))", re.DOTALL)
_BY_SLOT = re.compile(rb"\xff[\x15\x25](?=(.{4}))", re.DOTALL)
_REFERENCE = re.compile(rb"[\x48\x4c]\x8d[\x05\r\x15\x1d%\x2d\x35=](?=(.{4}))", re.DOTALL)
# jmp *table(,%register,8)
_BY_TABLE = re.compile(rb"\xff\x24[\xc5\xcd\xd5\xdd\xed\xf5\xfd](?=(.{4}))", re.DOTALL)
_CALL, _CALL_BY_SLOT = 0xE8, 0x15
_ENDBR64, _BND = bytes.fromhex("f30f1efa"), 0xF2


def iter_long_branches(code: bytes, address: int) -> Iterator[Branch]:
    """Yield direct calls, jumps and branches of four bytes of displacement."""
    for match in _LONG.finditer(code):
        yield Branch(*_resolve(match, address), is_call=code[match.start()] == _CALL)


def iter_short_branches(code: bytes, address: int) -> Iterator[Branch]:
    """Yield jumps and branches of one byte of displacement."""
    for match in _SHORT.finditer(code):
        yield Branch(*_resolve(match, address), is_call=False)


def iter_uses_of_slots(code: bytes, address: int) -> Iterator[Branch]:
    """Yield calls and jumps by a pointer at an address that they name."""
    for match in _BY_SLOT.finditer(code):
        is_call = code[match.start() + 1] == _CALL_BY_SLOT
        yield Branch(*_resolve(match, address), is_call)


def iter_references(code: bytes, address: int) -> Iterator[Branch]:
    """Yield instructions that take an address."""
    for match in _REFERENCE.finditer(code):
        yield Branch(*_resolve(match, address), is_call=False)


def find_stub_start(code: bytes, offset: int) -> int:
    """Return where the stub begins whose jump by a slot is at an offset."""
    start = offset - (offset > 0 and code[offset - 1] == _BND)
    return start - 4 if code[max(start - 4, 0) : start] == _ENDBR64 else start


def iter_jump_tables(code: bytes, address: int) -> Iterator[JumpTable]:
    """Yield what the code of a function may use as tables of `switch`."""
    for found in iter_references(code, address):
        yield JumpTable(found.target, is_relative=True)
    for match in _BY_TABLE.finditer(code):
        yield JumpTable(int.from_bytes(match[1], "little", signed=True), is_relative=False)


def _resolve(match: re.Match[bytes], address: int) -> tuple[int, int]:
    """Return the address of an instruction, and what its displacement leads to."""
    displacement = int.from_bytes(match[1], "little", signed=True)
    return address + match.start(), address + match.end(1) + displacement
