"""Threads of a process that runs, and where each has its own block. Nothing is stopped.

What a thread that runs has in its registers is not known, nor where its stack ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as Dict
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from gdbleak.memory.pieces import PAGE_BYTES, WORD_BYTES, Range, iter_pieces
from gdbleak.memory.source import Searchable
from gdbleak.target.owners import Owner
from gdbleak.target.proc import Mapping, list_threads, read_status

_EDGE_BYTES = 1 << 18
"""At either end of a mapping the own block of a thread is looked for."""
_LARGEST_STACK = 16 << 20
_END_BYTES = 4 * PAGE_BYTES
"""Of memory that was touched, the end that may have the own block of a thread. The guard of the
next stack may be the last page of it."""
_LAYOUTS = ((16, 0x2D0), (0, 0x30), (0, 0x38))
"""Where a thread's own block points at itself, beside its first word, and where it has its id.

Source: `tcbhead_t` and `struct pthread` of glibc since 2.4, nptl/descr.h and
sysdeps/x86_64/nptl/tls.h; `struct pthread` of musl, src/internal/pthread_impl.h.
"""


class Thread(NamedTuple):
    """A thread that waits in a system call, or of which only the id is known."""

    id: int
    stack_pointer: int = 0
    counter: int = 0
    """Its program counter."""
    registers: tuple[int, ...] = ()
    """As much of them as is known: the arguments of the system call, where a process runs."""


class Inhabited(Searchable, Protocol):
    """A process whose memory can be searched, and whose threads are known."""

    pid: int

    def read_mappings(self) -> list[Mapping]:
        """Return what is mapped, in order of address; nothing when the process has ended."""

    def find_threads(self) -> list[Thread]:
        """Return the threads, in no order."""

    def find_own_blocks(
        self, mappings: Sequence[Mapping], threads: Sequence[Thread]
    ) -> dict[int, int]:
        """Return by their ids where threads have their own block.

        The register `fs` points there, and the variables of threads lie just before it.
        """

    def find_owner(self) -> Owner | None:
        """Return as whom to run programs that read its files; None for ourselves."""


def read_threads(pid: int) -> list[Thread]:
    """Return the threads of a process. Source: proc(5), /proc/PID/task/TID/syscall."""
    threads = []
    for thread in list_threads(pid):
        words: list[str] = []
        with suppress(OSError):  # it has ended, or the kernel does not tell
            words = Path(f"/proc/{pid}/task/{thread}/syscall").read_text().split()
        if len(words) < 3:  # "running"
            threads.append(Thread(thread))
            continue
        *arguments, stack_pointer, counter = (int(word, 16) for word in words[1:])
        threads.append(Thread(thread, stack_pointer, counter, tuple(arguments)))
    return threads


def find_blocks_of_threads(
    process: Searchable, mappings: Sequence[Mapping], threads: Iterable[Thread]
) -> dict[int, int]:
    """Return by their ids where threads have their own block, to which the register `fs` points.

    The variables of threads lie just before it.
    """
    ids = _own_ids([thread.id for thread in threads])
    pointers = [thread.stack_pointer for thread in threads]
    guards = {mapping.end for mapping in mappings if mapping.permissions.startswith("---")}
    anonymous = [
        each for each in mappings if each.permissions.startswith("rw-p") and not each.inode
    ]
    found = _find_blocks(
        process,
        ids,
        (
            Range(max(run.start, part.start), min(run.end, part.end))
            for mapping in anonymous
            for part in _parts(mapping, pointers, mapping.start in guards)
            for run in process.find_pages(part.start, part.end)
        ),
    )
    if len(found) < len(ids):  # one that runs, among stacks that are one mapping for the kernel
        ends = (
            Range(max(run.start, run.end - _END_BYTES), run.end)
            for mapping in anonymous
            for run in process.find_pages(mapping.start, mapping.end)
        )
        found.update(_find_blocks(process, ids, ends))
    return found


def _find_blocks(
    process: Searchable, ids: Dict[int, int], ranges: Iterable[Range]
) -> dict[int, int]:
    found: dict[int, int] = {}
    for address, words in iter_pieces(process.read, ranges):
        own = np.uint64(address) + np.arange(len(words), dtype=np.uint64) * np.uint64(WORD_BYTES)
        for at in own[words == own].tolist():
            thread = _find_thread(process.read, at, ids)
            if thread is not None:
                found[thread] = at
    return found


def _parts(mapping: Mapping, pointers: Iterable[int], is_guarded: bool) -> list[Range]:
    """Return where in a mapping the own blocks of threads may be.

    That of the first thread is at the end of the mapping that the dynamic linker made for it. What
    was mapped later may touch that, and is one with it for the kernel. That of another thread is at
    the end of its stack, for which the same holds.
    """
    start, end = mapping.start, mapping.end
    parts = [
        Range(pointer & -PAGE_BYTES, min(end, pointer + _LARGEST_STACK & -PAGE_BYTES))
        for pointer in pointers
        if start <= pointer < end
    ]
    if is_guarded:  # since glibc 2.42 other stacks may follow, whose guards are no mappings
        parts.append(Range(start, min(end, start + _LARGEST_STACK)))
    elif end - start <= 2 * _EDGE_BYTES:
        return [Range(start, end)]
    else:
        parts += [Range(start, start + _EDGE_BYTES), Range(end - _EDGE_BYTES, end)]
    return _join(parts)


def _join(parts: Iterable[Range]) -> list[Range]:
    """Return ranges in order, with those that overlap as one."""
    joined: list[Range] = []
    for part in sorted(parts):
        if joined and part.start <= joined[-1].end:
            joined[-1] = Range(joined[-1].start, max(joined[-1].end, part.end))
        else:
            joined.append(part)
    return joined


def _find_thread(read: Callable[[int, int], bytes], block: int, ids: Dict[int, int]) -> int | None:
    """Return the thread of what may be its own block."""
    for itself, number in _LAYOUTS:
        if int.from_bytes(read(block + itself, 8), "little") == block:
            found = int.from_bytes(read(block + number, 4), "little")
            if found in ids:
                return ids[found]
            # Before 2.34, libpthread writes the id; a program without threads may not have that.
            if not found and itself and len(ids) == 1:
                return next(iter(ids.values()))
    return None


def _own_ids(threads: Iterable[int]) -> dict[int, int]:
    """Return the ids of threads by those that they have in the innermost PID namespace."""
    found = {}
    for thread in threads:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            status = read_status(thread)  # the id of a thread is as good as a PID there
            found[int(status.get("NSpid", str(thread)).split()[-1])] = thread
    return found
