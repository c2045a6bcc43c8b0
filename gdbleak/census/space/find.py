"""The address space of a process: each mapping, or part of one, with a name a person understands.

The kernel makes one mapping of neighbours that are alike, so a mapping may be several things: it is
split where something tells where one of them begins (see `gdbleak.census.space.claims`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, groupby
from typing import NamedTuple, TypeVar

from gdbleak.census.space.claims import Claim, claim_zeros, settle
from gdbleak.census.space.mapping_names import describe, find_files
from gdbleak.census.space.owners import find_claims
from gdbleak.memory.pieces import PAGE_BYTES
from gdbleak.report.heap import Arena, MappingKind, MappingUse
from gdbleak.target.examined import Examined
from gdbleak.target.proc import Mapping
from gdbleak.target.usage import Usage

_STACKS = (MappingKind.STACK, MappingKind.OLD_STACK, MappingKind.UNJOINED_STACK)
_OF_THE_KERNEL = ("[v", "[uprobes")
_R = TypeVar("_R", Claim, MappingUse)


class _Part(NamedTuple):
    """A mapping, or a part of one, and what it is."""

    mapping: Mapping
    start: int
    end: int
    kind: MappingKind
    name: str


def name_mappings(
    process: Examined,
    arenas: Sequence[Arena],
    large: Sequence[tuple[int, int]],
    allocators: Sequence[tuple[int, int, str]] = (),
) -> list[MappingUse]:
    """Return what is mapped, in order of address; nothing when the process has ended.

    What the kernel tells of a mapping that is several things is split among its parts by how much
    of each was ever touched: that is exact unless some of it was swapped out, or was read and never
    written. Where nobody knows what was touched, it is split by size. The parts always add up to
    what the kernel tells.

    Args:
        process: A process, or a core file; nobody knows what of the latter was resident.
        arenas: The arenas of glibc's malloc.
        large: From where to where large blocks lie, of each the mapping that it has for itself.
        allocators: From where to where the memory of other allocators lies, and their names.

    """
    try:
        mappings = process.read_mappings()
    except PermissionError:  # it has hidden itself
        return []
    usage = process.read_usage()
    files = find_files(mappings)

    def describe_one(mapping: Mapping) -> tuple[MappingKind, str]:
        return describe(mapping, files)

    claims = find_claims(process, mappings, arenas, large, allocators)
    claims += claim_zeros(mappings, describe_one, process.read)
    parts = _name_guards([*_split(mappings, settle(claims), describe_one)])
    found: list[MappingUse] = []
    for start, group in groupby(parts, key=lambda part: part.mapping.start):
        found += _with_usage([*group], usage.get(start), process)
    return found


def _split(
    mappings: Sequence[Mapping],
    claims: Sequence[Claim],
    describe_one: Callable[[Mapping], tuple[MappingKind, str]],
) -> Iterator[_Part]:
    """Yield the parts of mappings: those that are claimed, and those between them."""
    ends = [claim.end for claim in claims]
    for mapping in mappings:
        at = mapping.start
        for claim in _overlapping(claims, ends, mapping.start, mapping.end):
            if not _may_be(mapping, claim.kind):
                continue
            start, end = max(claim.start, at), min(claim.end, mapping.end)
            if at < start:
                yield _Part(mapping, at, start, *describe_one(mapping))
            yield _Part(mapping, start, end, claim.kind, claim.name)
            at = end
        if at < mapping.end:
            yield _Part(mapping, at, mapping.end, *describe_one(mapping))


def _overlapping(ranges: Sequence[_R], ends: Sequence[int], start: int, end: int) -> Iterator[_R]:
    """Yield those of ranges, which are in order of address, that lie in part in another one."""
    for number in range(bisect_right(ends, start), len(ranges)):
        if ranges[number].start >= end:
            return
        yield ranges[number]


def _may_be(mapping: Mapping, kind: MappingKind) -> bool:
    """Return whether a mapping can be that, whatever is claimed.

    The process may have written anything into what its libraries keep. Nobody may go to where the
    heap of an arena may grow.
    """
    if kind is MappingKind.ALLOCATOR:
        return True
    is_file = mapping.inode and not mapping.path.startswith("/anon_hugepage")
    if is_file or mapping.path.startswith(_OF_THE_KERNEL):
        return False
    if kind is MappingKind.GUARD:
        return True
    return mapping.permissions.startswith("---") == (kind is MappingKind.ARENA_ROOM)


def _name_guards(parts: Sequence[_Part]) -> list[_Part]:
    """Return parts with guards named after the stacks that lie behind them."""
    named = []
    for part, behind in zip(parts, [*parts[1:], None]):
        is_before = behind is not None and behind.start == part.end and behind.kind in _STACKS
        if part.kind is MappingKind.GUARD and behind is not None and is_before:
            part = part._replace(name=f"guard of the {behind.name}")
        named.append(part)
    return named


def _with_usage(
    parts: Sequence[_Part], whole: Usage | None, process: Examined
) -> Iterator[MappingUse]:
    """Yield the parts of one mapping with what they take of it."""
    shares: list[tuple[int | None, ...]] = [(None, None, None)] * len(parts)
    if whole is not None and len(parts) == 1:
        shares = [whole]
    elif whole is not None:
        weights = [_touched_bytes(part, process) for part in parts]
        if not any(weights):
            weights = [part.end - part.start for part in parts]
        shares = [*zip(*(_share(amount, weights) for amount in whole))]
    for part, (resident, dirty, swapped) in zip(parts, shares):
        yield MappingUse(
            part.start,
            part.end,
            part.mapping.permissions,
            part.kind,
            part.name,
            resident,
            dirty,
            swapped,
        )


def _touched_bytes(part: _Part, process: Examined) -> int:
    if part.kind is MappingKind.GUARD:  # a mark of the kernel looks like a page that is swapped out
        return 0
    runs = process.find_pages(part.start, part.end)
    return sum(min(run.end, part.end) - max(run.start, part.start) for run in runs)


def _share(amount: int, weights: Sequence[int]) -> list[int]:
    """Return how much of an amount falls to each, in whole pages; together they are all of it.

    >>> _share(12288, [1, 1, 2])
    [0, 4096, 8192]

    """
    total = sum(weights)
    edges = [amount * weight // total // PAGE_BYTES * PAGE_BYTES for weight in accumulate(weights)]
    edges[-1] = amount
    return [end - start for start, end in zip([0, *edges], edges)]


def growth(before: Sequence[MappingUse], after: Sequence[MappingUse]) -> list[MappingUse]:
    """Return the mappings of a later census, each with how its resident bytes have grown.

    They are matched by address: what was resident there before is subtracted, whatever it was
    called. So what grew in place counts by what it grew, downward as well, and what is new counts
    whole; of what has shrunk since, or was split, the part that is still there is subtracted.

    Args:
        before: Of an earlier census, in order of address.
        after: Of a later one.

    """
    ends = [each.end for each in before]
    found = []
    for each in after:
        others = _overlapping(before, ends, each.start, each.end)
        old = [_resident_within(other, each.start, each.end) for other in others]
        grown = each.resident_bytes
        for amount in old:
            grown = None if grown is None or amount is None else grown - amount
        found.append(replace(each, grown_bytes=grown))
    return found


def _resident_within(mapping: MappingUse, start: int, end: int) -> int | None:
    """Return how much of a mapping is resident in a range, as if all of it were alike."""
    if mapping.resident_bytes is None:
        return None
    common = min(mapping.end, end) - max(mapping.start, start)
    return mapping.resident_bytes * common // mapping.size
