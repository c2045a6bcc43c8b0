"""The notes of a core file: threads with their registers, mapped files, the process. Pure.

Sources: core(5) and elf(5); `struct elf_prstatus`, `elf_prpsinfo` and `user_regs_struct` of Linux
(include/uapi/linux/elfcore.h, arch/*/include/uapi/asm/ptrace.h); "NT_FILE" in fs/binfmt_elf.c. What
a note says of its own size is not believed: nothing is read beyond a bound.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gdbleak.elf.core_file import AARCH64, X86_64
from gdbleak.host.files import Bytes

AT_PHDR, AT_PHENT, AT_PHNUM, AT_ENTRY = 3, 4, 5, 9
AT_RANDOM, AT_EXECFN, AT_SYSINFO_EHDR = 25, 31, 33

_NT_PRSTATUS, _NT_PRPSINFO, _NT_AUXV = 1, 3, 6
_NT_FILE, _NT_ARM_TLS = 0x46494C45, 0x401
_VECTORS = (2, 0x202)
"""NT_FPREGSET and NT_X86_XSTATE: vector registers of the thread whose note came before."""
_MOST_NOTES = 1 << 19
"""Each thread has up to a dozen."""
_MOST_BYTES = {_NT_PRSTATUS: 1024, _NT_PRPSINFO: 1024, _NT_AUXV: 1 << 14, _NT_ARM_TLS: 8}
_MOST_BYTES.update(dict.fromkeys(_VECTORS, 1 << 14))
_MOST_BYTES[_NT_FILE] = 64 << 20
"""How much of each kind of note is read; the kernel writes NT_FILE up to 4 MB, GDB whatever."""
_FILE = struct.Struct("<QQQ")
_PAIR = struct.Struct("<QQ")
_SIGNAL_AT, _THREAD_AT, _REGISTERS_AT = 12, 32, 112
_PROCESS_AT, _NAME_AT, _ARGUMENTS_AT, _END_AT = 24, 40, 56, 136
_HIGHEST = (1 << 64) - 1


class _Registers(NamedTuple):
    """Where registers are in a note, as numbers of words."""

    words: int
    general: tuple[int, ...]
    stack_pointer: int
    counter: int
    thread_pointer: int | None


_LAYOUTS = {
    X86_64: _Registers(27, (*range(15), 19), 19, 16, 21),
    AARCH64: _Registers(34, tuple(range(32)), 31, 32, None),
}


class MappedFile(NamedTuple):
    """A part of a file that was mapped."""

    start: int
    end: int
    offset: int
    """In the file, in bytes."""
    path: str


@dataclass
class CoreThread:
    """A thread, as it was when the core was written."""

    id: int
    registers: list[int]
    """Those of general purpose, and the stack pointer."""
    stack_pointer: int
    counter: int
    thread_pointer: int
    """To the own block of the thread (fs_base, tpidr); 0 if unknown."""


@dataclass
class CoreNotes:
    """What the notes say; empty or 0 where they do not."""

    threads: list[CoreThread] = field(default_factory=list)
    """The one that the core was written for is the first."""
    signal: int = 0
    pid: int = 0
    name: str = ""
    """Of the first thread of the process, in at most 15 characters."""
    command: str = ""
    """With arguments, in at most 79 characters."""
    vector: dict[int, int] = field(default_factory=dict)
    """The auxiliary vector: getauxval(3)."""
    files: list[MappedFile] = field(default_factory=list)
    """In order of address."""
    is_whole: bool = True
    """Whether they were read to their end."""


def read_core_notes(data: Bytes, machine: int, places: Iterable[tuple[int, int]]) -> CoreNotes:
    """Return what the notes of a core file say.

    Args:
        data: The file.
        machine: Whose registers they hold.
        places: Offset and size of the segments that hold notes.

    Raises:
        OSError: the file cannot be read.

    """
    notes = CoreNotes()
    left = _MOST_NOTES
    for offset, size in places:
        notes.is_whole &= offset + size <= len(data)
        for kind, content in _iter_notes(data, offset, min(offset + size, len(data))):
            left -= 1
            if not left:
                notes.is_whole = False
                return notes
            if kind in _MOST_BYTES:
                _take(notes, machine, kind, content)
    return notes


def _iter_notes(data: Bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield kind and content of notes; of those kinds that nobody asks for, no content."""
    while at + 12 <= end:
        header = data.read(at, 12)
        if len(header) < 12:
            return
        name, size, kind = struct.unpack("<III", header)
        begin = at + 12 + (name + 3 & -4)
        yield kind, data.read(begin, min(size, end - begin, _MOST_BYTES.get(kind, 0)))
        at = begin + (size + 3 & -4)


def _take(notes: CoreNotes, machine: int, kind: int, content: bytes) -> None:
    if kind == _NT_PRSTATUS:
        _take_thread(notes, _LAYOUTS[machine], content)
    elif kind == _NT_PRPSINFO and len(content) >= _END_AT:
        (notes.pid,) = struct.unpack_from("<i", content, _PROCESS_AT)
        notes.name = _text(content[_NAME_AT:_ARGUMENTS_AT])
        notes.command = _text(content[_ARGUMENTS_AT:_END_AT]).strip()
    elif kind == _NT_AUXV:
        pairs = _PAIR.iter_unpack(content[: len(content) // _PAIR.size * _PAIR.size])
        notes.vector = dict(pairs)
    elif kind == _NT_ARM_TLS and notes.threads and len(content) == 8:
        notes.threads[-1].thread_pointer = int.from_bytes(content, "little")
    elif kind in _VECTORS and notes.threads:
        words = struct.unpack_from(f"<{len(content) // 8}Q", content)
        notes.threads[-1].registers.extend(filter(None, words))
    elif kind == _NT_FILE:
        notes.files = _parse_files(content)


def _take_thread(notes: CoreNotes, layout: _Registers, content: bytes) -> None:
    if len(content) < _REGISTERS_AT + 8 * layout.words:
        notes.is_whole = False
        return
    words = struct.unpack_from(f"<{layout.words}Q", content, _REGISTERS_AT)
    if not notes.threads:
        (notes.signal,) = struct.unpack_from("<h", content, _SIGNAL_AT)
    pointer = layout.thread_pointer
    notes.threads.append(
        CoreThread(
            struct.unpack_from("<i", content, _THREAD_AT)[0],
            [words[number] for number in layout.general],
            words[layout.stack_pointer],
            words[layout.counter],
            0 if pointer is None else words[pointer],
        )
    )


def _parse_files(content: bytes) -> list[MappedFile]:
    """Return what NT_FILE lists: a table of ranges, and their names in the same order."""
    if len(content) < 16:
        return []
    count, page = _PAIR.unpack_from(content)
    count = min(count, (len(content) - 16) // _FILE.size)
    names = content[16 + count * _FILE.size :].split(b"\0")[:count]
    table = _FILE.iter_unpack(content[16 : 16 + len(names) * _FILE.size])
    files = [
        MappedFile(start, end, min(offset * page, _HIGHEST), _path(name))
        for (start, end, offset), name in zip(table, names)
        if start < end and name
    ]
    return _put_in_order(files)


def _put_in_order(files: list[MappedFile]) -> list[MappedFile]:
    """Return them in order of address, without what overlaps an earlier one."""
    found: list[MappedFile] = []
    for file in sorted(files):
        if not found or file.start >= found[-1].end:
            found.append(file)
    return found


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode(errors="replace")


def _path(data: bytes) -> str:
    """Return a path as /proc/PID/maps has it."""
    return data.decode(errors="surrogateescape").replace("\n", "\\012")
