"""The threads of a process as a search for references meets them: stacks, registers, variables.

Nothing is stopped. What a thread that runs has in its registers is not known, nor where its stack
ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as Dict
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import ElfError
from gdbleak.memory.pieces import PAGE_BYTES, WORD_BYTES, Range, iter_pieces
from gdbleak.memory.source import Searchable
from gdbleak.memory.territory import Area, Kind
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.target.proc import Mapping, list_threads, read_status

RED_ZONE_BYTES = 128
"""Below the stack pointer, and in use all the same. Source: System V ABI, AMD64, 3.2.2."""
_EDGE_BYTES = 1 << 18
"""At either end of a mapping the own block of a thread is looked for."""
_LARGEST_STACK = 16 << 20
_SURPLUS_BYTES = 64
_BLOCK_BYTES = 0x900
"""Size of `struct pthread`, or more."""
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
    arguments: tuple[int, ...] = ()
    """Of the system call: as much of its registers as the kernel tells."""


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
    ranges = [
        Range(max(run.start, part.start), min(run.end, part.end))
        for mapping in mappings
        if mapping.permissions.startswith("rw-p") and not mapping.inode
        for part in _parts(mapping, pointers, mapping.start in guards)
        for run in process.find_pages(part.start, part.end)
    ]
    found: dict[int, int] = {}
    for address, words in iter_pieces(process.read, ranges):
        own = np.uint64(address) + np.arange(len(words), dtype=np.uint64) * np.uint64(WORD_BYTES)
        for at in own[words == own].tolist():
            thread = ids.get(_read_id(process.read, at))
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
    if is_guarded:
        return [Range(start, min(end, start + _LARGEST_STACK))]
    parts = [
        Range(pointer & -PAGE_BYTES, min(end, pointer + _LARGEST_STACK & -PAGE_BYTES))
        for pointer in pointers
        if start <= pointer < end
    ]
    if end - start <= 2 * _EDGE_BYTES:
        return [Range(start, end)]
    return [*parts, Range(start, start + _EDGE_BYTES), Range(end - _EDGE_BYTES, end)]


def _read_id(read: Callable[[int, int], bytes], block: int) -> int:
    for itself, number in _LAYOUTS:
        if int.from_bytes(read(block + itself, 8), "little") == block:
            if found := int.from_bytes(read(block + number, 4), "little"):
                return found
    return 0


def _own_ids(threads: Iterable[int]) -> dict[int, int]:
    """Return the ids of threads by those that they have in the innermost PID namespace."""
    found = {}
    for thread in threads:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            status = read_status(thread)  # the id of a thread is as good as a PID there
            found[int(status.get("NSpid", str(thread)).split()[-1])] = thread
    return found


def areas_of_threads(
    mappings: Sequence[Mapping],
    threads: Sequence[Thread],
    blocks: Dict[int, int],
    stacks: Dict[int, tuple[int, int]],
    bytes_of_variables: int,
) -> list[Area]:
    """Return the stacks of threads, what lies dead below them, and what threads have of their own.

    Args:
        mappings: Of the process.
        threads: Its threads.
        blocks: Where their own blocks are: see `find_blocks_of_threads`.
        stacks: From where to where those stacks lie that are known.
        bytes_of_variables: How much the variables of a thread may take.

    """
    areas = [
        Area((block - bytes_of_variables) & -64, block + _BLOCK_BYTES, Kind.THREAD, thread=thread)
        for thread, block in blocks.items()
    ]
    starts = [mapping.start for mapping in mappings]
    for thread in threads:
        within = thread.stack_pointer or blocks.get(thread.id, 0)
        mapping = mappings[max(bisect_right(starts, within) - 1, 0)]
        begin, end = stacks.get(thread.id) or _guess_stack(
            mapping, within, blocks.get(thread.id, 0)
        )
        top = end
        if thread.stack_pointer:
            top = max(thread.stack_pointer - RED_ZONE_BYTES, begin)
        elif begin:
            top = begin
        areas.append(Area(top, end, Kind.STACK, thread=thread.id))
        if thread.id in stacks:
            areas.append(Area(begin, top, Kind.DEAD))
    return [area for area in areas if area.start < area.end]


def _guess_stack(mapping: Mapping, within: int, block: int) -> tuple[int, int]:
    """Return from where to where a stack may lie of which nothing tells that; 0, 0 if nowhere.

    Args:
        mapping: In which it may be.
        within: An address on it.
        block: Of the thread's own block; 0 if unknown.

    """
    if not mapping.start <= within < mapping.end:
        return 0, 0
    if mapping.inode or mapping.path not in ("", "[stack]"):
        return 0, 0
    end = mapping.end
    if mapping.start <= block < mapping.end:
        # Another mapping may touch the stack, and is one with it for the kernel.
        end = min(end, -(-(block + _BLOCK_BYTES) // PAGE_BYTES) * PAGE_BYTES)
    return mapping.start, end


def thread_bytes(modules: ModuleMap, images: ImageCache) -> int:
    """Return how many bytes before its own block the variables of a thread may take."""
    total = _SURPLUS_BYTES
    effort = Effort()
    for module in modules:
        if module.file is not None:
            with suppress(ElfError):
                size, alignment = images.open(module.file, effort.share()).thread_segment
                total += size + alignment
    return total


def first_variable(block: int, program: Module, images: ImageCache) -> int | None:
    """Return where the variables of a thread begin that the program declares; None if none.

    Source: "ELF Handling For Thread-Local Storage", variant II: those of the program lie directly
    before the thread's own block.
    """
    if program.file is None:
        return None
    try:
        size, alignment = images.open(program.file, Effort()).thread_segment
    except ElfError:
        return None
    return block - -(-size // alignment) * alignment if size else None
