"""Where the stacks of threads lie, from what their C library keeps of them.

It keeps where a thread's stack begins, and how long it is, in the thread's area, which is at the
upper end of that stack. Where exactly differs between libraries and versions, so it is found by
looking: such an area begins with its own address and holds the thread's id, and two words in it
have to be a range of whole pages that holds the stack pointer as well as the area. Sources: `struct
pthread` in nptl/descr.h of glibc, and in src/internal/pthread_impl.h of musl.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Dict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdbleak.memory.source import Waiting
from gdbleak.readable import Readable
from gdbleak.target.proc import Mapping, read_thread_ids

_PAGE = np.uint64(4096)
AREA_BYTES = 0x900
"""How much of an area is looked at."""
_ABOVE_BYTES = 1 << 18
"""How far above its stack pointer the area of a thread is looked for."""
_PIECE_BYTES = 1 << 19
_LIST_WORD = 0x2C0 // 8
"""Where an area has the next one of a list of stacks, and behind that the one before."""
_ID_WORD = 0x2D0 // 8
"""Where an area has the id of its thread, in words."""
_DTV_END = 16
"""In the second word of an area is where the variables of modules are."""
_JOINED = 0xFFFFFFFF
_STATE_WORD, _TERMINATED = 0x308 // 8, np.uint64(0x20)
"""A bit of `cancelhandling`: the library has done with the thread, nobody can join it any more."""


def find_stacks(
    pid: int,
    waiting: Dict[int, Waiting],
    mappings: Sequence[Mapping],
    memory: Readable,
) -> dict[int, tuple[int, int]]:
    """Return first address, and the one behind the last, of the stacks of threads that wait.

    Args:
        pid: The process; its main thread has that id too, and a mapping for its stack.
        waiting: The threads, by their ids.
        mappings: What is mapped, in order of address.
        memory: The memory of the process.

    """
    starts = [each.start for each in mappings]
    stacks = {}
    for thread, state in waiting.items():
        number = bisect_right(starts, state.stack_pointer) - 1
        if number < 0 or state.stack_pointer >= mappings[number].end:
            continue
        mapping = mappings[number]
        if mapping.path == "[stack]":
            if thread == pid:
                stacks[thread] = mapping.start, mapping.end
        elif found := _find_block(pid, thread, state.stack_pointer, mapping, memory):
            stacks[thread] = found
    return stacks


def find_bounds(
    words: NDArray[np.uint64], at: int, stack_pointer: int, mapping: Mapping
) -> tuple[int, int] | None:
    """Return from where to where a stack lies, by what its thread's area says; None if nothing.

    Args:
        words: Of the area, from its beginning on.
        at: Where the area is.
        stack_pointer: Of the thread.
        mapping: In which that is.

    """
    words = words[: AREA_BYTES // 8]
    begins, ends = words[:-1], words[:-1] + words[1:]
    fits = (begins % _PAGE == 0) & (ends % _PAGE == 0) & (ends <= mapping.end)
    fits &= (begins <= stack_pointer) & (ends > at)
    numbers = np.flatnonzero(fits)
    if not len(numbers):
        return None
    number = int(numbers[0])
    return max(int(begins[number]), mapping.start), int(ends[number])


def _find_block(
    pid: int, thread: int, stack_pointer: int, mapping: Mapping, memory: Readable
) -> tuple[int, int] | None:
    """Return the range that the area of a thread says is its stack."""
    base = stack_pointer & ~7
    data = memory.read(base, min(mapping.end - base, _ABOVE_BYTES))
    words = np.frombuffer(data, np.uint64, len(data) // 8)
    addresses = np.uint64(base) + 8 * np.arange(len(words), dtype=np.uint64)
    for at in np.flatnonzero(words == addresses).tolist():
        area = words[at : at + AREA_BYTES // 8]
        bounds = find_bounds(area, int(addresses[at]), stack_pointer, mapping)
        # A coroutine may keep where a pool of stacks lies, at the end of its own.
        if bounds and {*area.view(np.uint32).tolist()} & read_thread_ids(pid, thread):
            return bounds
    return None


class ThreadArea(NamedTuple):
    """What the C library keeps of a thread, at the upper end of its stack."""

    address: int
    stack: tuple[int, int]
    """From where to where its stack lies; 0, 0 for that of a process's first thread."""
    is_over: bool
    """Whether the thread has ended, and its stack is kept for another one."""
    is_forgotten: bool
    """Whether nobody can ask any more what it has returned."""

    def list_dead(self) -> list[tuple[int, int]]:
        """Return what of its stack holds nothing that counts, if the thread has ended.

        All but where the library finds the variables of modules: it frees those once the stack is
        used again.
        """
        begin, end = self.stack
        if not self.is_over or begin >= end:
            return []
        rest = (self.address + _DTV_END, end) if self.is_forgotten else (end, end)
        return [each for each in ((begin, self.address), rest) if each[0] < each[1]]


def find_areas(memory: Readable, ranges: Iterable[tuple[int, int]]) -> list[ThreadArea]:
    """Return the areas of threads of glibc, also of those that have ended.

    Their stacks are kept for later threads. Source: allocate_stack.c and pthread_join_common.c in
    nptl/ of glibc; `struct pthread` begins with `tcbhead_t`, and has, on x86-64, the links of a
    list at 0x2c0 and the thread's id at 0x2d0; that is 0 once the thread has ended, and up to 2.42
    -1 once it was joined.

    Args:
        memory: Of the process.
        ranges: From where to where areas may lie, in whole pages.

    """
    areas = []
    for start, end in ranges:
        for at in range(start, end, _PIECE_BYTES):
            data = memory.read(at, min(end - at, _PIECE_BYTES))
            words = np.frombuffer(data, np.uint64, len(data) // 8)
            addresses = np.uint64(at) + 8 * np.arange(len(words), dtype=np.uint64)
            for number in np.flatnonzero(words == addresses).tolist():
                if found := read_area(memory, at + 8 * number):
                    areas.append(found)
    return areas


def read_area(memory: Readable, address: int) -> ThreadArea | None:
    """Return the area of a thread that begins at an address which holds itself, if one does."""
    data = memory.read(address, AREA_BYTES)
    words = np.frombuffer(data, np.uint64, len(data) // 8)
    if len(words) <= _STATE_WORD or words[2] != address:
        return None
    number = int(words[_ID_WORD]) & 0xFFFFFFFF
    begins, ends = words[:-1], words[:-1] + words[1:]
    fits = (begins % _PAGE == 0) & (ends % _PAGE == 0) & (begins > 0)
    fits &= (begins < np.uint64(address)) & (ends > np.uint64(address))
    where = np.flatnonzero(fits)
    stack = (int(begins[where[0]]), int(ends[where[0]])) if len(where) else (0, 0)
    is_forgotten = bool(words[_STATE_WORD] & _TERMINATED)
    # Memory that a program gave for a stack is its own again: the library has no list of that.
    link = memory.read(int(words[_LIST_WORD]) + 8, 8)
    is_listed = int.from_bytes(link, "little") == address + 8 * _LIST_WORD
    return ThreadArea(address, stack, is_listed and number in (0, _JOINED), is_forgotten)
