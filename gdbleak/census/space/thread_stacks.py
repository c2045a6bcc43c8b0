"""The stacks that glibc has made for threads: of those that live, and of those that have ended.

glibc keeps the descriptors of threads in rings: of those whose stacks it has made, of those that
were given a stack (the first thread is among them), and of stacks that it keeps for threads to
come. A descriptor lies at the upper end of its stack, and says where that begins and how much of it
is a guard. That is also how a stack is told whose guard is no mapping of its own: since 2.42 the
kernel may guard pages within one.

Sources: `struct pthread` in nptl/descr.h; `stack_used` and `stack_cache` in nptl/allocatestack.c up
to 2.33, `_dl_stack_used`, `_dl_stack_user` and `_dl_stack_cache` in sysdeps/generic/ldsodefs.h
since. The rings are found by looking, since the symbols are stripped: in the writable data of the
dynamic linker, or of libpthread, or of a static program.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Dict
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from gdbleak.effort import Effort, EffortError
from gdbleak.memory.pieces import PAGE_BYTES, WORD_BYTES
from gdbleak.readable import Readable
from gdbleak.target.proc import Mapping, find_data

_HOLDERS = re.compile(r"(ld-|ld\.so|ld64\.so|libpthread[.-])")
_MOST_DATA_BYTES = 1 << 20
_LOOKS = 5
_LINKS = 1 << 18
"""So many links are followed in all."""
_NEAR_BYTES = 256
"""The heads of the rings lie in one struct, or side by side: that of stacks in use first, and in
a static program last. Up to 2.33 that of stacks that were given lies elsewhere."""
_ID = 16
"""Where a descriptor has the id of its thread, from its link in the ring: 0 when it has ended, and
-1 when its stack is kept; since 2.43 that is 0 too."""
_BEHIND_LINK_BYTES = 0x600
"""How much of a descriptor is looked at, from its link on: glibc 2.17 to 2.43 need 0x420."""


class ThreadStack(NamedTuple):
    """A stack that glibc knows."""

    start: int
    """Above the guard."""
    end: int
    guard: int
    """Where its guard begins; the same as `start` where it has none."""
    thread: int
    """The id that the thread knows itself by; 0 when it has ended."""
    is_kept: bool
    """Whether it is kept for a thread to come."""
    is_given: bool
    """Whether the program itself has made it."""


class _Ring(NamedTuple):
    """A ring: addresses of its head and links, and the ids of the threads in it."""

    head: int
    links: list[int]
    ids: list[int]


class _Range(NamedTuple):
    """What a descriptor says of its stack: the guard is the lowest part of it."""

    start: int
    size: int
    guard: int


def find_thread_stacks(
    memory: Readable, mappings: Sequence[Mapping], threads: Sequence[int]
) -> list[ThreadStack]:
    """Return the stacks of threads, in order of address; nothing where glibc has no threads.

    Args:
        memory: The memory of the process.
        mappings: What is mapped, in order of address.
        threads: The ids that its threads know themselves by, the first one of the process first.

    """
    effort = Effort(_LINKS)
    living = {*threads}
    for is_static, data in _places_of_heads(mappings):
        found: dict[int, ThreadStack] = {}
        for _ in range(_LOOKS):  # a ring that changes meanwhile cannot be followed
            rings = _find_rings(memory, data, living, effort)
            found.update(
                (each.end, each) for each in _iter_stacks(memory, rings, living, is_static)
            )
            if not rings or living.issubset(thread for ring in rings for thread in ring.ids):
                break
        if found:
            return sorted(found.values())
    return []


def _places_of_heads(mappings: Sequence[Mapping]) -> Iterator[tuple[bool, tuple[int, int]]]:
    """Yield the writable data of files that may hold the heads, and whether it is the program's."""
    paths = {mapping.path: mapping.path.rsplit("/", 1)[-1] for mapping in mappings if mapping.inode}
    holders = [path for path, name in paths.items() if _HOLDERS.match(name)]
    program = next(iter(paths), None)
    for path in [*sorted(holders, reverse=True), *([program] if program else [])]:
        data = find_data(mappings, path)
        if data:
            yield path == program, (data[0], min(data[1], data[0] + _MOST_DATA_BYTES))


def _find_rings(
    memory: Readable, data: tuple[int, int], living: set[int], effort: Effort
) -> list[_Ring]:
    """Return the rings in whose links descriptors lie, if one is that of a living thread.

    Args:
        memory: The memory of the process.
        data: Where the heads may lie.
        living: The ids of living threads.
        effort: What following links may take.

    """
    start = data[0]
    found = memory.read(start, data[1] - start)
    words = np.frombuffer(found, np.uint64, len(found) // WORD_BYTES)
    before, behind = words[:-1], words[1:]
    lowest, aligned = np.uint64(PAGE_BYTES), np.uint64(WORD_BYTES - 1)
    likely = (before >= lowest) & (behind >= lowest) & ((before | behind) & aligned == 0)
    rings = []
    for at in np.flatnonzero(likely).tolist():
        head = start + at * WORD_BYTES
        with suppress(EffortError):  # the process has made a labyrinth there
            ring = _follow(memory, head, int(before[at]), int(behind[at]), effort)
            rings += [ring] if ring else []
    if all(living.isdisjoint(ring.ids) for ring in rings):
        return []
    sure = [
        ring
        for ring in rings
        if not living.isdisjoint(ring.ids)
        or (ring.links and all(_ranges_in(memory, link) for link in ring.links))
    ]
    return [ring for ring in rings if any(_are_near(ring, other) for other in sure)]


def _are_near(ring: _Ring, other: _Ring) -> bool:
    return abs(ring.head - other.head) <= _NEAR_BYTES


def _follow(memory: Readable, head: int, first: int, last: int, effort: Effort) -> _Ring | None:
    """Return the ring from a head on; None if it is none, or the process has changed it meanwhile.

    Raises:
        EffortError: so many links were followed before that it is not worth it.

    """
    links: list[int] = []
    ids: list[int] = []
    before, link = head, first
    while link != head:
        data = memory.read(link, _ID + 4)
        if len(data) < _ID + 4 or int.from_bytes(data[8:16], "little") != before:
            return None
        links.append(link)
        ids.append(int.from_bytes(data[_ID:], "little", signed=True))
        before, link = link, int.from_bytes(data[:8], "little")
        effort.spend()
    return _Ring(head, links, ids) if before == last else None


def _iter_stacks(
    memory: Readable, rings: Sequence[_Ring], living: set[int], is_static: bool
) -> Iterator[ThreadStack]:
    """Yield the stacks whose descriptors say where they are."""
    fields = {link: _ranges_in(memory, link) for ring in rings for link in ring.links}
    places = Counter(place for found in fields.values() for place in found)
    given = next((ring.head for ring in rings if _has_first(ring, fields, living)), 0)
    for ring in rings:
        cluster = [each.head for each in rings if _are_near(ring, each)]
        in_use = max(cluster) if is_static else min(cluster)
        is_idle = living.isdisjoint(ring.ids) and ring.head != in_use
        for link, thread in zip(ring.links, ring.ids):
            place = max(fields[link], key=lambda each: (places[each], -each), default=None)
            if place is None:  # the first thread's
                continue
            start, size, guard = fields[link][place]
            is_given = ring.head == given
            yield ThreadStack(
                start if is_given else start + guard,
                start + size,
                start,
                thread if thread in living else 0,
                thread == -1 or is_idle,
                is_given,
            )


def _has_first(ring: _Ring, fields: Dict[int, dict[int, _Range]], living: set[int]) -> bool:
    """Whether the first thread is in a ring: the kernel has made its stack, not glibc."""
    return any(not fields[link] and own in living for link, own in zip(ring.links, ring.ids))


def _ranges_in(memory: Readable, link: int) -> dict[int, _Range]:
    """Return what may be a stack's begin, size, and size of its guard, by where they stand.

    The descriptor lies within its stack, and what these say is in whole pages.
    """
    data = memory.read(link, _BEHIND_LINK_BYTES)
    words = np.frombuffer(data, np.uint64, len(data) // WORD_BYTES)
    if len(words) < 3:
        return {}
    starts, sizes, guards = words[:-2], words[1:-1], words[2:]
    fits = (starts | sizes | guards) % np.uint64(PAGE_BYTES) == 0
    fits &= (starts > 0) & (starts < np.uint64(link)) & (guards < sizes)
    fits &= sizes > np.uint64(link) - np.minimum(starts, np.uint64(link))
    return {
        at: _Range(int(starts[at]), int(sizes[at]), int(guards[at]))
        for at in np.flatnonzero(fits).tolist()
    }
