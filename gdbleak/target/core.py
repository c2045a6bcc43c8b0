"""A core file, examined as if the process ran: it only never changes.

A core file may be larger than the memory of this host, and may be cut short while it is read:
pieces of it are read when they are asked for, and nothing is mapped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from gdbleak.elf.cache import ImageCache
from gdbleak.elf.core_file import (
    PF_W,
    X86_64,
    CoreHeaders,
    find_packer,
    is_core_header,
    read_core_headers,
)
from gdbleak.elf.core_notes import AT_RANDOM, CoreNotes, read_core_notes
from gdbleak.errors import CoreError
from gdbleak.host.files import FileBytes, open_regular
from gdbleak.memory.pieces import WORD_BYTES
from gdbleak.memory.source import Pages, Waiting
from gdbleak.recording.modules import ModuleMap
from gdbleak.target.core_files import CoreFiles
from gdbleak.target.core_mappings import MappingTable, find_program, make_mappings
from gdbleak.target.core_memory import HeldMemory, LeftOutMemory
from gdbleak.target.examined import ThreadName
from gdbleak.target.link_map import read_program_headers
from gdbleak.target.owners import Owner, owner_of_file
from gdbleak.target.proc import Mapping as Mapped
from gdbleak.target.stacks import AREA_BYTES, find_bounds
from gdbleak.target.threads import Thread
from gdbleak.target.usage import Usage
from gdbleak.text.units import format_bytes

_HEADER_BYTES = 64
_FATAL = {3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV"}
_FATAL.update({24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS"})
"""Signals for which the kernel writes a core; without SIGTRAP, which debuggers send."""
_FILTER = (
    "run `echo 0x37 > /proc/self/coredump_filter` in the shell that starts the program, and write"
    " the core again"
)


def is_core_file(path: str) -> bool:
    """Return whether there is a core file at a path; one that is compressed counts."""
    try:
        file = open_regular(path)
    except (OSError, ValueError):
        return False
    try:
        header = os.pread(file, _HEADER_BYTES, 0)
    except OSError:
        return False
    finally:
        os.close(file)
    return is_core_header(header) or find_packer(header) is not None


class Core:
    """The process that a core file shows. A context, in which the file stays open."""

    is_core = True

    def __init__(
        self, path: str, images: ImageCache, exe: str | None = None, sysroot: str = ""
    ) -> None:
        """Open it.

        Args:
            path: The core file.
            images: Keeps the ELF files of the process.
            exe: Its program, if that is not where it was.
            sysroot: A folder in which copies of its other files lie at their paths; empty for this
                host.

        Raises:
            CoreError: it is no core file, or holds nothing that tells anything.

        """
        self.path = path
        self.notes: list[str] = []
        """What is missing, in sentences."""
        self._files = CoreFiles(images, exe, sysroot)
        try:
            self._bytes = FileBytes(open_regular(path))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise CoreError(f"cannot read {path}: {reason}") from error
        try:
            self._open(images)
        except OSError as error:
            self.close()
            raise CoreError(f"cannot read {path}: {error.strerror}") from error
        except BaseException:
            self.close()
            raise

    def _open(self, images: ImageCache) -> None:
        headers = read_core_headers(self._bytes, self.path)
        self._held = HeldMemory(self._bytes, headers.parts)
        said = read_core_notes(self._bytes, headers.machine, headers.notes)
        _refuse_empty(self.path, headers, said, self._held)
        self._machine, self._said = headers.machine, said
        files = said.files or self._files.rebuild(said.vector, self._held)
        lines = make_mappings(
            headers.parts,
            files,
            said.vector,
            read_program_headers(said.vector, self._held).end,
            self._files.may_run,
            self._held.seems_empty,
        )
        self._mappings = MappingTable(lines)
        self.program = find_program(self._mappings, said.vector)
        """The path of the program, as the process knew it; None if unknown."""
        self._modules = self._files.make_modules(lines, self.program, self._held)
        self._left_out = LeftOutMemory(self._mappings, self._modules, images)
        self.threads = {thread.id: thread for thread in said.threads}
        """By their ids; the one that the core was written for is the first."""
        self.pid = said.pid or min(self.threads, default=0)
        self.command = said.command or said.name or self.program or "?"
        self.signal = _FATAL.get(said.signal)
        """The name of the signal that it died from; None if it did not."""
        self.written_s: float | None = os.fstat(self._bytes.descriptor).st_mtime
        """When the file was written, as POSIX time."""
        self.notes += _say_what_is_cut(headers, said)
        self.notes += _say_what_is_left_out(lines, self._modules, self._held)
        self.notes += self._files.notes

    def __enter__(self) -> Core:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its files."""
        self._bytes.close()
        self._files.close()

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes; fewer where memory begins that nobody has kept.

        What the core leaves out because it is as in the file of a module comes from that.
        """
        pieces = []
        while size > 0:
            piece = self._held.read(address, size)
            if not piece and not self._held.is_cut(address):
                piece = self._left_out.read(address, size)
            if not piece:
                break
            pieces.append(piece)
            address, size = address + len(piece), size - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_mappings(self) -> list[Mapped]:
        """Return what was mapped, in order of address."""
        return [*self._mappings.lines]

    def read_modules(self) -> ModuleMap:
        """Return the program and libraries that were mapped."""
        return self._modules

    def read_usage(self) -> dict[int, Usage]:
        """Return how much of each mapping the core holds, by its start.

        Pages that were never touched do not count, as far as they are holes or zeros. Swapped pages
        count as resident.
        """
        return self._usage

    @cached_property
    def _usage(self) -> dict[int, Usage]:
        usage = {}
        for line in self._mappings.lines:
            held = 0
            if line.permissions[:3] != "---":
                held = self._held.count_filled(line.start, line.end)
            usage[line.start] = Usage(held, held if _was_written(line) else 0, 0)
        return usage

    def read_threads(self) -> list[ThreadName]:
        """Return the threads, the first one of the process first; only that has a name here."""
        ids = sorted(self.threads, key=lambda each: (each != self.pid, each))
        return [ThreadName(each, self._said.name if each == self.pid else "") for each in ids]

    def read_registers(self) -> dict[int, list[int]]:
        """Return what stood in the general registers of threads, by their ids."""
        return {each.id: each.registers for each in self.threads.values()}

    def find_pages(self, start: int, end: int) -> list[Pages]:
        """Return the pages of a range that the core holds."""
        line = self._mappings.find(start)
        is_of_file = line is not None and (
            line.permissions[3] == "s" or (line.inode > 0 and line.executable)
        )
        runs = self._held.find_data(start, end)
        return [Pages(first, last, is_of_file) for first, last in runs]

    def find_threads(self) -> list[Thread]:
        """Return the threads, with all their general registers."""
        return [
            Thread(each.id, each.stack_pointer, each.counter, tuple(each.registers))
            for each in self.threads.values()
        ]

    def find_own_blocks(
        self, mappings: Sequence[Mapped], threads: Sequence[Thread]
    ) -> dict[int, int]:
        """Return by their ids where threads have their own block."""
        del mappings  # a core tells the register
        if self._machine != X86_64:  # it points elsewhere there
            return {}
        pointers = {each.id: self.threads[each.id].thread_pointer for each in threads}
        return {thread: pointer for thread, pointer in pointers.items() if pointer}

    def find_owner(self) -> Owner | None:
        """Return the owner of the core file, as whom programs read what it names; or None."""
        return owner_of_file(self.path)

    def find_waiting(self) -> dict[int, Waiting]:
        """Return the stack pointers of all threads, by their ids: each waits for ever."""
        return {each.id: Waiting(each.stack_pointer, 0) for each in self.threads.values()}

    def find_stacks(self, waiting: Mapping[int, Waiting]) -> dict[int, tuple[int, int]]:
        """Return from where to where the stacks of threads lie, as far as that is certain."""
        stacks = {}
        for thread, state in waiting.items():
            line = self._mappings.find(state.stack_pointer)
            if line and line.path == "[stack]":
                if thread == self.pid:
                    stacks[thread] = line.start, line.end
            elif line and thread in self.threads:
                at = self.threads[thread].thread_pointer
                data = self.read(at, AREA_BYTES)
                words = np.frombuffer(data, np.uint64, len(data) // WORD_BYTES)
                if bounds := find_bounds(words, at, state.stack_pointer, line):
                    stacks[thread] = bounds
        return stacks


def _was_written(line: Mapped) -> bool:
    """Return whether what the core holds of a mapping was written, and not merely read.

    Of a file that is mapped to be read, that is what was protected after it had been relocated; the
    beginning of a file is in the core for its headers.
    """
    of_file = line.inode and line.offset and not line.executable
    return "w" in line.permissions or bool(of_file)


def _refuse_empty(path: str, headers: CoreHeaders, said: CoreNotes, held: HeldMemory) -> None:
    """Raise CoreError for a core without the memory that the process has written.

    Each process has written to the stack of its first thread.
    """
    written = [part for part in headers.parts if part.flags & PF_W]
    on_stack = said.vector.get(AT_RANDOM)
    if any(part.held for part in written) and (
        on_stack is None or held.holds(on_stack) or held.is_cut(on_stack)
    ):
        return
    if any(part.cut for part in written):
        raise CoreError(
            f"{path} is truncated: no memory of the process is left in it",
            "look at `ulimit -c` and at the room on the disk, then write the core again",
        )
    raise CoreError(f"{path} was written without the memory of the process", _FILTER)


def _say_what_is_cut(headers: CoreHeaders, said: CoreNotes) -> Iterator[str]:
    """Yield a sentence for each thing that the end of the file has cut off."""
    cut = [part for part in headers.parts if part.cut]
    if cut:
        size = sum(part.cut for part in cut)
        yield (
            f"The core is truncated: {size:,} bytes ({format_bytes(size)}) are missing, of"
            f" {len(cut):,} of its {len(headers.parts):,} segments, from"
            f" {cut[0].start + cut[0].held:#x} on. Look at `ulimit -c` and at the room on the disk."
        )
    if not said.threads:
        yield "The core names no threads: stacks and registers are unknown."
    elif not said.is_whole:
        yield "The notes of the core are cut off: threads may be missing."


def _say_what_is_left_out(
    mappings: Sequence[Mapped], modules: ModuleMap, held: HeldMemory
) -> Iterator[str]:
    """Yield a sentence for each thing that whoever wrote the core has left out on purpose."""
    absent = [line for line in mappings if not held.holds(line.start)]
    if any(line.path == "[heap]" for line in absent):
        yield "The heap is not in the core: nothing is told of the blocks in it."
    shared = sum(
        line.end - line.start
        for line in absent
        if line.inode and "w" in line.permissions and modules.find(line.start) is None
    )
    if shared:
        yield (
            f"{format_bytes(shared)} of files that the process may write to are not in the core, so"
            " what only they refer to seems lost. To keep them, run `echo 0x3b >"
            " /proc/self/coredump_filter` before the program starts."
        )
