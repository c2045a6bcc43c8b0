"""What can be told of the stacks of a process's threads, from how they were found in a visit.

A C library keeps, at a fixed distance from a thread's pointer, where its stack begins and how long
it is, and its id. Where that is differs between libraries and versions, so it is found by looking:
a place counts if what stands there fits every thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gdbleak.injection.visits import ThreadState
from gdbleak.inline.ring import WORD_BYTES
from gdbleak.readable import Readable
from gdbleak.target.proc import Mapping, list_threads

AREA_BYTES = 0x900
"""How far from the thread pointer is looked."""
_PAGE = 4096
_ID_BYTES = 4


@dataclass(frozen=True)
class ThreadFacts:
    """Where things are; 0 where that was not proved."""

    main_stack: tuple[int, int]
    """From where to where the stack of the main thread lies."""
    stack_block: int
    """Offset from the thread pointer to the address at which a thread's stack begins."""
    thread_id: int
    """Offset from the thread pointer to the id of the thread."""


def find_thread_facts(
    pid: int,
    threads: Sequence[ThreadState],
    mappings: Sequence[Mapping],
    memory: Readable,
    list_living: Callable[[int], Sequence[int]] = list_threads,
) -> ThreadFacts:
    """Return what can be told of the threads of a process.

    Args:
        pid: The process, whose main thread has that id too.
        threads: All its threads.
        mappings: What is mapped, in order of address.
        memory: The memory of the process.
        list_living: Returns the threads that it has by now: what others have left behind that
            ended meanwhile fits nothing.

    """
    main = next(((each.start, each.end) for each in mappings if each.path == "[stack]"), (0, 0))
    areas = {each.id: memory.read(each.fs_base or 0, AREA_BYTES) for each in threads}
    living = {*list_living(pid)}
    threads = [thread for thread in threads if thread.id in living]
    areas = {each.id: areas[each.id] for each in threads}
    others = [thread for thread in threads if thread.id != pid and thread.fs_base]
    if not others or any(not thread.fs_base for thread in threads):
        return ThreadFacts(main, 0, 0)
    ids = _places(areas, {each.id: _read_ids(pid, each.id) for each in threads}, _ID_BYTES)
    blocks = _blocks(others, mappings, areas)
    return ThreadFacts(main, blocks[0] if blocks else 0, ids[0] if ids else 0)


def _read_ids(pid: int, thread: int) -> list[int]:
    """Return the ids of a thread: ours, and in a container the one that it knows itself by."""
    try:
        status = Path(f"/proc/{pid}/task/{thread}/status").read_text(errors="surrogateescape")
    except OSError:  # it has ended
        return [thread]
    line = next((line for line in status.splitlines() if line.startswith("NSpid:")), "")
    return [thread, *map(int, line.split()[1:])]


def _places(areas: dict[int, bytes], wanted: dict[int, list[int]], size: int) -> list[int]:
    """Return the offsets, but 0, at which each area holds one of the numbers wanted of it."""
    length = min(map(len, areas.values()))
    return [
        offset
        for offset in range(size, length - size + 1, size)
        if all(
            int.from_bytes(area[offset : offset + size], "little") in wanted[thread]
            for thread, area in areas.items()
        )
    ]


def _blocks(
    threads: Sequence[ThreadState], mappings: Sequence[Mapping], areas: dict[int, bytes]
) -> list[int]:
    """Return the offsets at which every thread, but the main one, tells of its stack."""
    length = min(len(areas[thread.id]) for thread in threads)
    offsets = range(WORD_BYTES, length - 2 * WORD_BYTES + 1, WORD_BYTES)
    return [offset for offset in offsets if _fits(offset, threads, mappings, areas)]


def _fits(
    offset: int,
    threads: Sequence[ThreadState],
    mappings: Sequence[Mapping],
    areas: dict[int, bytes],
) -> bool:
    """Whether an address and a size stand there that can be those of every thread's stack.

    They are apart from each other, and each holds the stack pointer and, beyond that, the thread
    pointer. It begins where a mapping does, in a guard, or where the stack of another thread ends:
    the kernel joins neighbours.
    """
    blocks = []
    for thread in threads:
        words = areas[thread.id][offset : offset + 2 * WORD_BYTES]
        start = int.from_bytes(words[:WORD_BYTES], "little")
        end = start + int.from_bytes(words[WORD_BYTES:], "little")
        if start % _PAGE or end % _PAGE or not start <= thread.rsp < (thread.fs_base or 0) < end:
            return False
        blocks.append((start, end, thread))
    ends = {end for _, end, _ in blocks}
    ranges = sorted((start, end) for start, end, _ in blocks)
    return all(before[1] <= behind[0] for before, behind in zip(ranges, ranges[1:])) and all(
        _is_in_one_mapping(start, end, thread.rsp, mappings, ends) for start, end, thread in blocks
    )


def _is_in_one_mapping(
    start: int, end: int, inside: int, mappings: Sequence[Mapping], ends: set[int]
) -> bool:
    """Whether a stack is one mapping, perhaps with a guard before it, or a part of one."""
    place = next((i for i, each in enumerate(mappings) if each.start <= inside < each.end), None)
    if place is None or end > mappings[place].end:
        return False
    stack, before = mappings[place], mappings[place - 1]
    is_guarded = before.end == stack.start and before.permissions == "---p"
    return (
        start == stack.start
        or (is_guarded and before.start <= start < stack.start)
        or (start > stack.start and start in ends)
    )
