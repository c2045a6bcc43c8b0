"""Ranges of memory, and what they are by all that the lines of /proc/PID/maps do not tell. Pure.

The kernel makes one mapping of neighbours that are alike: large blocks, stacks, .bss. Only who made
them knows where each begins.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from gdbleak.census.space.thread_stacks import ThreadStack
from gdbleak.effort import Effort, EffortError
from gdbleak.elf.headers import PT_LOAD, DamageError, ElfHeaders
from gdbleak.heap.layouts import HEAP_ARENA, HEAP_BYTES, HEAP_MOST_USED
from gdbleak.host.files import HeldBytes
from gdbleak.memory.pieces import PAGE_BYTES
from gdbleak.memory.source import Searchable
from gdbleak.report.heap import Arena, MappingKind
from gdbleak.target.proc import Mapping
from gdbleak.text.units import format_bytes

Read = Callable[[int, int], bytes]

KEPT = "stack of an exited thread, kept for the next one"
NOT_JOINED = "stack of an exited thread that nobody has joined"
_FIRST_ARENAS = (0x20, 0x30)
"""Where an arena lies in the first of its heaps: behind the header, which has grown in 2.35."""
_MOST_HEAPS = 64
"""So many may be one mapping for the kernel."""
_MOST_NAMED = 2
"""So many threads of an arena are named; of more, their number."""


class Claim(NamedTuple):
    """What a range of memory is."""

    start: int
    end: int
    kind: MappingKind
    name: str


def claim_arenas(arenas: Iterable[Arena], read: Read) -> Iterator[Claim]:
    """Yield where the memory of arenas lies, also what they have given back and may take again."""
    for arena in arenas:
        for number, (start, end) in enumerate(sorted(arena.heaps)):
            if arena.number == 0:
                words = "heap, in a mapping of its own" if number else "heap"
                yield Claim(start & -PAGE_BYTES, _page_up(end), MappingKind.HEAP, words)
            else:
                yield Claim(
                    start & -PAGE_BYTES,
                    _most_used(arena.address, start, _page_up(end), read),
                    MappingKind.ARENA,
                    f"heap of arena {arena.number}{_of_threads(arena.threads)}",
                )


def _most_used(arena: int, start: int, end: int, read: Read) -> int:
    """Return how far a heap has reached at the most: behind its end it can still be written."""
    heap = start & -HEAP_BYTES
    header = read(heap, HEAP_MOST_USED + 8)
    if int.from_bytes(header[HEAP_ARENA : HEAP_ARENA + 8], "little") != arena:
        return end
    most = int.from_bytes(header[HEAP_MOST_USED:], "little") & -PAGE_BYTES
    return max(end, heap + min(most, HEAP_BYTES))


def _of_threads(threads: Sequence[str]) -> str:
    if not threads:
        return ""
    if len(threads) > _MOST_NAMED:
        return f", of {len(threads)} threads"
    return f", of thread{'s' if len(threads) > 1 else ''} {' and '.join(threads)}"


def claim_heaps(mappings: Sequence[Mapping], memory: Searchable) -> Iterator[Claim]:
    """Yield what looks like heaps of arenas, should the arenas not be known.

    A heap begins at a multiple of 64 MiB, and says where its arena is: behind the header of the
    first of that arena's heaps. What is behind it up to the next multiple may not be accessed.
    """
    ends = {
        start: min(mapping.end, start + HEAP_BYTES)
        for mapping in mappings
        if not mapping.path and mapping.permissions == "rw-p"
        for start in _multiples(mapping)
        if memory.find_pages(start, start + PAGE_BYTES)  # to read what is not touched would map it
    }
    for start, end in ends.items():
        arena = int.from_bytes(memory.read(start + HEAP_ARENA, 8), "little")
        if arena & -HEAP_BYTES in ends and arena % HEAP_BYTES in _FIRST_ARENAS:
            yield Claim(start, end, MappingKind.ARENA, "heap of an arena")
            limit = start + HEAP_BYTES
            yield Claim(end, limit, MappingKind.ARENA_ROOM, "room for an arena to grow")


def _multiples(mapping: Mapping) -> range:
    """Return where in a mapping heaps may begin, but of one that is too large for some of them."""
    if mapping.end - mapping.start > _MOST_HEAPS * HEAP_BYTES:
        return range(0)
    return range(-(-mapping.start // HEAP_BYTES) * HEAP_BYTES, mapping.end, HEAP_BYTES)


def claim_rooms(arenas: Iterable[Arena]) -> Iterator[Claim]:
    """Yield where the heaps of arenas may still grow: up to a multiple of 64 MiB."""
    for arena in arenas:
        for start, end in arena.heaps if arena.number else ():
            name = f"room for arena {arena.number} to grow"
            limit = (start & -HEAP_BYTES) + HEAP_BYTES
            yield Claim(_page_up(end), limit, MappingKind.ARENA_ROOM, name)


def claim_large(large: Iterable[tuple[int, int]]) -> Iterator[Claim]:
    """Yield blocks that have mappings of their own."""
    for start, end in large:
        name = f"large block of {format_bytes(end - start)}"
        yield Claim(start, end, MappingKind.LARGE_BLOCK, name)


def claim_stacks(stacks: Iterable[ThreadStack], name_of: Callable[[int], str]) -> Iterator[Claim]:
    """Yield the stacks of threads, and their guards.

    Args:
        stacks: What glibc tells of them.
        name_of: Returns what a person calls a thread, by the id that it knows itself by.

    """
    for stack in stacks:
        kind, name = MappingKind.OLD_STACK, KEPT
        if not stack.is_kept:
            kind, name = MappingKind.UNJOINED_STACK, NOT_JOINED
        if stack.thread and not stack.is_kept:
            kind, name = MappingKind.STACK, f"stack of thread {name_of(stack.thread)}"
        start, end = stack.start & -PAGE_BYTES, _page_up(stack.end)
        yield Claim(start, end, kind, name)
        if stack.guard < start:
            yield Claim(stack.guard, start, MappingKind.GUARD, f"guard of the {name}")


def claim_zeros(
    mappings: Sequence[Mapping], describe: Callable[[Mapping], tuple[MappingKind, str]], read: Read
) -> Iterator[Claim]:
    """Yield the zeros (.bss) that the dynamic linker maps behind the data of a program or library.

    Args:
        mappings: What is mapped, in order of address.
        describe: Returns what a mapping of a file is.
        read: Reads the memory.

    """
    header, path = 0, ""
    for mapping, behind in zip(mappings, mappings[1:]):
        if mapping.inode and mapping.offset == 0 and mapping.path != path:
            header, path = mapping.start, mapping.path
        is_data = mapping.inode and mapping.permissions.startswith("rw")
        if not is_data or behind.path or behind.start != mapping.end:
            continue
        kind, name = describe(mapping)
        if kind in (MappingKind.PROGRAM, MappingKind.LIBRARY):
            end = min(behind.end, _end_of_zeros(header, read) or behind.end)
            if behind.start < end:
                yield Claim(behind.start, end, kind, name)


def _end_of_zeros(header: int, read: Read) -> int | None:
    """Return where a mapped ELF file ends, by its header in memory; None if that cannot be told."""
    try:
        headers = ElfHeaders(HeldBytes(read(header, PAGE_BYTES)), Effort().spend)
    except (DamageError, EffortError, OSError):  # such as a 32-bit program
        return None
    loaded = [each for each in headers.segments if each.kind == PT_LOAD]
    if not loaded:
        return None
    last = max(each.address + each.memory_size for each in loaded)
    return _page_up(header + last - (loaded[0].address & -PAGE_BYTES))


def _page_up(address: int) -> int:
    return -(-address // PAGE_BYTES) * PAGE_BYTES


def settle(claims: Sequence[Claim]) -> list[Claim]:
    """Return claims that do not overlap, in order of address: where several do, the first one wins.

    >>> settle([Claim(4, 6, MappingKind.STACK, "a"), Claim(0, 9, MappingKind.HEAP, "b")])[1].name
    'a'

    """
    order = sorted(range(len(claims)), key=lambda number: claims[number].start)
    edges = sorted({*(each.start for each in claims), *(each.end for each in claims)})
    open_claims: list[int] = []
    found: list[Claim] = []
    owners: list[int] = []
    taken = 0
    for start, end in zip(edges, edges[1:]):
        while taken < len(order) and claims[order[taken]].start <= start:
            heapq.heappush(open_claims, order[taken])
            taken += 1
        while open_claims and claims[open_claims[0]].end <= start:
            heapq.heappop(open_claims)
        if not open_claims:
            continue
        owner = open_claims[0]
        if owners and owners[-1] == owner and found[-1].end == start:
            found[-1] = found[-1]._replace(end=end)
        else:
            found.append(claims[owner]._replace(start=start, end=end))
            owners.append(owner)
    return found
