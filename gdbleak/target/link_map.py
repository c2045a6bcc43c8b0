"""The order in which a process's dynamic linker searches its modules, read from its memory.

Sources: System V ABI, chapter 5 (DT_DEBUG); `struct r_debug` and `struct link_map` of <link.h>, the
same in glibc and musl; proc(5) and getauxval(3) for /proc/PID/auxv.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from gdbleak.readable import Readable

_AT_PHDR, _AT_PHENT, _AT_PHNUM = 3, 4, 5
_PT_LOAD, _PT_DYNAMIC, _PT_PHDR = 1, 2, 6
_DT_NULL, _DT_DEBUG = 0, 21
_PAIR = struct.Struct("<QQ")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_LINK_MAP = struct.Struct("<QQQQ")  # bias, name, dynamic section, next

# The memory of another process is never trusted: every walk through it has a limit.
_MAX_MODULES = 10_000
_MAX_NAMESPACES = 16
_MAX_TAGS = 200
_PAGE_BYTES = 4096


class Linked(NamedTuple):
    """An entry of a link map."""

    bias: int
    """Run-time address minus link-time address."""
    name: int
    """Address of its path, which is empty for the program."""
    dynamic: int
    """Address of its dynamic section."""


class ProgramHeaders(NamedTuple):
    """What a program says of itself in memory."""

    bias: int
    dynamic: int
    """Address of its dynamic section; 0 for a static program."""
    end: int
    """Behind its variables, zeros included; 0 if unknown."""


def read_search_order(pid: int, memory: Readable) -> dict[int, int]:
    """Return the place in the search order of each module, by the address of its dynamic section.

    The program is the first. Modules of further namespaces (dlmopen) follow those of the first.
    Empty for a static program, and for one whose dynamic linker has not begun.
    """
    try:
        vector = dict(_PAIR.iter_unpack(Path(f"/proc/{pid}/auxv").read_bytes()))
    except (OSError, struct.error):  # it has ended, or is of another architecture
        return {}
    return read_order_of(read_program_headers(vector, memory).dynamic, memory)


def read_order_of(dynamic: int, memory: Readable) -> dict[int, int]:
    """Return that order from the dynamic section of the program, by its run-time address or 0."""
    order: dict[int, int] = {}
    for entry in iter_linked(dynamic, memory):
        order.setdefault(entry.dynamic, len(order))
    return order


def iter_linked(dynamic: int, memory: Readable) -> Iterator[Linked]:
    """Yield what the dynamic linker has loaded, in the order in which it searches.

    Args:
        dynamic: The address of the dynamic section of the program, or 0.
        memory: The memory of the process.

    """
    debug = _find_debug(dynamic, memory)
    for _ in range(_MAX_NAMESPACES):
        if not debug:
            break
        version, first = _read(_PAIR, memory, debug)
        yield from _iter_modules(memory, first)
        # struct r_debug_extended, since glibc 2.35: 40 bytes of r_debug, then the next of them.
        debug = _read(_PAIR, memory, debug + 40)[0] if version & 0xFFFFFFFF >= 2 else 0


def read_program_headers(vector: Mapping[int, int], memory: Readable) -> ProgramHeaders:
    """Return what the program headers of a program in memory say; zeros where there are none."""
    headers, size = vector.get(_AT_PHDR, 0), vector.get(_AT_PHENT, 0)
    dynamic, end, first, itself = 0, 0, 0, None
    for number in range(min(vector.get(_AT_PHNUM, 0), _MAX_TAGS)):
        kind, _, offset, address, _, _, in_memory, _ = _read(
            _PROGRAM_HEADER, memory, headers + number * size
        )
        if kind == _PT_DYNAMIC:
            dynamic = address
        elif kind == _PT_PHDR:
            itself = headers - address
        elif kind == _PT_LOAD:
            end = max(end, address + in_memory)
            if not offset:
                first = (headers & -_PAGE_BYTES) - address
    if itself is None:
        # A static program has no segment for its headers: they are in its first page.
        return ProgramHeaders(first, 0, end and end + first)
    return ProgramHeaders(itself, dynamic and dynamic + itself, end and end + itself)


def _find_debug(dynamic: int, memory: Readable) -> int:
    """Return the address of the `r_debug` that DT_DEBUG of the program points to, or 0."""
    for number in range(_MAX_TAGS if dynamic else 0):
        tag, value = _read(_PAIR, memory, dynamic + number * _PAIR.size)
        if tag in (_DT_NULL, _DT_DEBUG):
            return value if tag == _DT_DEBUG else 0
    return 0


def _iter_modules(memory: Readable, entry: int) -> Iterator[Linked]:
    """Yield the modules of a link map."""
    for _ in range(_MAX_MODULES):
        if not entry:
            return
        bias, name, dynamic, entry = _read(_LINK_MAP, memory, entry)
        yield Linked(bias, name, dynamic)


def _read(layout: struct.Struct, memory: Readable, address: int) -> tuple[int, ...]:
    """Return the fields at an address; zeros where nothing can be read."""
    data = memory.read(address, layout.size)
    return layout.unpack(data.ljust(layout.size, b"\0"))
