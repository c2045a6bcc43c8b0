"""Core files: of real processes, by the kernel and by GDB, and built byte by byte."""

from __future__ import annotations

import signal
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from gdbleak.debugger.program import find_gdb
from support.processes import Target

PAGE = 4096
PATTERN = Path("/proc/sys/kernel/core_pattern")
UNLIMITED = 'ulimit -c unlimited && exec "$0" "$@"'
"""Runs a program, given as $0, that may leave a core of any size."""

NT_PRSTATUS, NT_PRPSINFO, NT_AUXV, NT_FILE, NT_ARM_TLS = 1, 3, 6, 0x46494C45, 0x401


def write_by_gdb(target: Target, path: Path) -> Path:
    """Let GDB write the core of a process, which goes on."""
    command = [find_gdb().path, "-nx", "-batch", "-p", str(target.pid), "-ex", f"gcore {path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert path.exists(), done.stderr
    return path


def start_in(folder: Path, program: Path, *arguments: str) -> Target:
    """Start a program that says "ready" and leaves its core in a folder; skip where it cannot."""
    pattern = PATTERN.read_text().strip()
    if pattern.startswith(("|", "/")):
        pytest.skip(f"this kernel does not write cores to the working folder: {pattern}")
    target = Target(["sh", "-c", UNLIMITED, program, *arguments], cwd=folder)
    assert target.lines.next() == "ready"
    return target


def write_by_kernel(target: Target, folder: Path, coredump_filter: int | None = None) -> Path:
    """Let the kernel write the core of a process that `start_in` has started, and that dies.

    Args:
        target: The process.
        folder: In which it runs.
        coredump_filter: What to write: core(5); None for what is the default.

    """
    if coredump_filter is not None:
        Path(f"/proc/{target.pid}/coredump_filter").write_text(hex(coredump_filter))
    target.process.send_signal(signal.SIGSEGV)
    assert target.wait() == -signal.SIGSEGV
    [core] = folder.glob(PATTERN.read_text().split("%")[0].strip() + "*")
    return core


class Piece(NamedTuple):
    """A segment of a core that is built."""

    address: int
    content: bytes
    size: int = 0
    """In memory; 0 for as much as the content."""
    flags: int = 6
    said: int | None = None
    """How much the file says that it holds, if that is a lie."""


def note(kind: int, content: bytes, name: bytes = b"CORE", size: int | None = None) -> bytes:
    """Return a note; `size` is what it says of its content's size, if that is a lie."""
    padded = name + b"\0" * (4 - len(name) % 4)
    said = len(content) if size is None else size
    return struct.pack("<III", len(name) + 1, said, kind) + padded + _pad(content, 4)


def status(thread: int, stack_pointer: int = 0, fs_base: int = 0, number: int = 11) -> bytes:
    """Return the note of a thread of x86-64."""
    registers = [0] * 27
    registers[19], registers[21] = stack_pointer, fs_base
    head = struct.pack("<12xh18xi76x", number, thread)
    return note(NT_PRSTATUS, head + struct.pack("<27Q", *registers) + bytes(8))


def process(pid: int, name: bytes = b"built", command: bytes = b"built --now ") -> bytes:
    """Return the note of the process."""
    return note(NT_PRPSINFO, struct.pack("<24xi12x16s80s", pid, name, command))


def vector(**values: int) -> bytes:
    """Return the note with the auxiliary vector; names are those of getauxval(3)."""
    kinds = {"PHDR": 3, "ENTRY": 9, "RANDOM": 25, "EXECFN": 31, "SYSINFO_EHDR": 33}
    pairs = [(kinds[name], value) for name, value in values.items()]
    return note(NT_AUXV, b"".join(struct.pack("<QQ", *pair) for pair in [*pairs, (0, 0)]))


def files(*parts: tuple[int, int, int, bytes], count: int | None = None) -> bytes:
    """Return the note of mapped files: start, end, page of the file, name."""
    table = b"".join(struct.pack("<QQQ", *part[:3]) for part in parts)
    names = b"".join(part[3] + b"\0" for part in parts)
    said = len(parts) if count is None else count
    return note(NT_FILE, struct.pack("<QQ", said, PAGE) + table + names)


def build(
    pieces: Iterable[Piece] = (),
    notes: bytes = b"",
    machine: int = 62,
    kind: int = 4,
    notes_said: int | None = None,
    ident: bytes = b"\x7fELF\2\1\1",
) -> bytes:
    """Return a core file: headers, notes, and from a page on what the segments hold."""
    pieces = [*pieces]
    count = len(pieces) + 1
    notes_at = 64 + 56 * count
    at = -(-(notes_at + len(notes)) // PAGE) * PAGE
    said = len(notes) if notes_said is None else notes_said
    table = [struct.pack("<IIQQQQQQ", 4, 4, notes_at, 0, 0, said, 0, 4)]
    contents = bytearray()
    for address, content, size, flags, held in pieces:
        table.append(
            struct.pack(
                "<IIQQQQQQ",
                *(1, flags, at + len(contents), address, 0),
                *(len(content) if held is None else held, size or len(content), PAGE),
            )
        )
        contents += _pad(content, PAGE)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", ident, kind, machine, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0
    )
    return (header + b"".join(table) + notes).ljust(at, b"\0") + contents


def _pad(data: bytes, alignment: int) -> bytes:
    return data + b"\0" * (-len(data) % alignment)
