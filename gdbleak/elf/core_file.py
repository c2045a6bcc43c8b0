"""The headers of a core file: which memory of a process it holds, and where its notes are. Pure.

Layout: elf(5), core(5); fs/binfmt_elf.c of Linux, which writes one. A core file has a segment for
each mapping, and `ElfHeaders` reads no more than a linker makes. No size is believed: what is
behind the end of the file is missing, and that is told.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from gdbleak.errors import CoreError
from gdbleak.host.files import Bytes

X86_64, AARCH64 = 62, 183
PF_X, PF_W, PF_R = 1, 2, 4

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_ET_CORE = 4
_PT_LOAD, _PT_NOTE = 1, 4
_PN_XNUM = 0xFFFF
"""As many segments, or more: then the first section header says how many."""
_COUNT_AT = 44
"""Where in a section header that is: sh_info."""
_SECTION_BYTES = 64
_MOST_SEGMENTS = 1 << 20
"""A process has 65,530 mappings at most, unless vm.max_map_count was raised."""
_AT_ONCE = 4096
_HIGHEST = (1 << 64) - 1
_MACHINES = {8: "MIPS", 21: "PowerPC", 243: "RISC-V", 258: "LoongArch"}
_PACKERS = {
    b"\x28\xb5\x2f\xfd": "zstd -d",
    b"\x04\x22\x4d\x18": "lz4 -d",
    b"\xfd7zXZ\0": "xz -d",
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
}
"""What unpacks a file, by how that begins."""


class Part(NamedTuple):
    """A segment: memory of the process, as far as the file holds it."""

    start: int
    end: int
    offset: int
    """In the file."""
    held: int
    """How many bytes from the start on the file holds."""
    flags: int
    cut: int
    """How many more bytes the file should hold, and does not: it is truncated."""

    @property
    def is_whole(self) -> bool:
        """Whether all of it was written."""
        return self.held + self.cut >= self.end - self.start


class CoreHeaders(NamedTuple):
    """What a core file consists of."""

    machine: int
    """X86_64 or AARCH64."""
    parts: tuple[Part, ...]
    """In order of address; they do not overlap."""
    notes: tuple[tuple[int, int], ...]
    """Offset and size of what holds notes."""


def is_core_header(header: bytes) -> bool:
    """Return whether a file that begins so is a core file, of whatever machine."""
    order = "big" if header[5:6] == b"\2" else "little"
    return header[:4] == b"\x7fELF" and int.from_bytes(header[16:18], order) == _ET_CORE  # type: ignore[arg-type]


def find_packer(header: bytes) -> str | None:
    """Return the command that unpacks a file that begins so; None for one that is not packed."""
    return next((name for magic, name in _PACKERS.items() if header.startswith(magic)), None)


def read_core_headers(data: Bytes, path: str) -> CoreHeaders:
    """Return what a core file consists of.

    Args:
        data: The file.
        path: What to call it.

    Raises:
        CoreError: it is no core file of a process of 64 bits that we know, or is cut off in its
            headers.
        OSError: it cannot be read.

    """
    header = data.read(0, _HEADER.size)
    _check(header, path)
    fields = _HEADER.unpack(header)
    machine, table, sections_at, size, count = (
        fields[2],
        fields[5],
        fields[6],
        fields[9],
        fields[10],
    )
    if size != _SEGMENT.size:
        raise CoreError(f"{path} is damaged: its program headers have {size} bytes")
    if count == _PN_XNUM:
        section = data.read(sections_at, _SECTION_BYTES)
        if len(section) < _SECTION_BYTES:
            raise _cut(path)
        (count,) = struct.unpack_from("<I", section, _COUNT_AT)
    if count > _MOST_SEGMENTS:
        raise CoreError(f"{path} is damaged: it says that it has {count:,} segments")
    if table + count * size > len(data):
        raise _cut(path)
    parts, notes = [], []
    for kind, flags, offset, address, _, held, memory, _ in _iter_segments(data, table, count):
        if kind == _PT_NOTE:
            notes.append((offset, held))
        elif kind == _PT_LOAD and memory > 0:
            written = min(held, memory)
            there = max(min(written, len(data) - offset), 0)
            end = min(address + memory, _HIGHEST)
            parts.append(Part(address, end, offset, there, flags, written - there))
    return CoreHeaders(machine, _put_in_order(parts), tuple(notes))


def _iter_segments(data: Bytes, table: int, count: int) -> Iterator[tuple[int, ...]]:
    for first in range(0, count, _AT_ONCE):
        size = min(_AT_ONCE, count - first) * _SEGMENT.size
        piece = data.read(table + first * _SEGMENT.size, size)
        yield from _SEGMENT.iter_unpack(piece[: len(piece) // _SEGMENT.size * _SEGMENT.size])


def _check(header: bytes, path: str) -> None:
    """Raise CoreError unless a file begins as a core file that we can read."""
    if not header:
        raise CoreError(
            f"{path} is empty",
            "look at `ulimit -c` and at the room on the disk, then write the core again",
        )
    if packer := find_packer(header):
        raise CoreError(
            f"{path} is compressed",
            f"run `{packer} {path}`, or `coredumpctl dump PID -o core`, and give the file that it"
            " writes",
        )
    if header[:4] != b"\x7fELF":
        raise CoreError(f"{path} is not a core file")
    if len(header) < _HEADER.size:
        raise _cut(path)
    if not is_core_header(header):
        raise CoreError(f"{path} is an ELF file, but not a core file: a program or a library")
    if header[4:6] != b"\2\1":
        raise CoreError(f"{path} is the core of a process that is not 64-bit little-endian")
    machine = _HEADER.unpack(header)[2]
    if machine not in (X86_64, AARCH64):
        name = _MACHINES.get(machine, f"machine {machine}")
        raise CoreError(
            f"{path} is the core of a process on {name}, of which the layout is unknown"
        )


def _cut(path: str) -> CoreError:
    return CoreError(
        f"{path} is cut off in its headers",
        "look at `ulimit -c` and at the room on the disk, then write the core again",
    )


def _put_in_order(parts: list[Part]) -> tuple[Part, ...]:
    """Return parts in order of address, without what overlaps an earlier one."""
    parts.sort()
    found: list[Part] = []
    for part in parts:
        if not found or part.start >= found[-1].end:
            found.append(part)
    return tuple(found)
