"""What has changed from one census of a heap to another. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from posixpath import basename

from gdbleak.report.heap import Amount, Arena, HeapReport, MappingKind, MappingUse, SizeClass


@dataclass(frozen=True)
class SizeChange:
    """Blocks in use of a size, in both; those of overlapping sizes count together."""

    low: int
    high: int
    before: Amount
    after: Amount

    @property
    def bytes(self) -> int:
        """By how much they take more; negative for less."""
        return self.after.bytes - self.before.bytes

    @property
    def count(self) -> int:
        """How many more there are; negative for fewer."""
        return self.after.count - self.before.count


@dataclass(frozen=True)
class TotalChange:
    """A total of the process, or of one of its arenas, in both."""

    name: str
    before: int | None
    after: int | None
    """None where nobody knows."""
    is_bytes: bool = True
    """Whether it counts bytes."""

    @property
    def change(self) -> int | None:
        """By how much it is more; None where one of both is unknown."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before


@dataclass(frozen=True)
class KindChange:
    """The mappings of a kind, in both."""

    kind: MappingKind
    count: TotalChange
    size: TotalChange
    resident: TotalChange


@dataclass(frozen=True)
class HeapComparison:
    """Two censuses."""

    before: HeapReport
    after: HeapReport
    seconds: float | None
    """From one to the other; None of two processes, and where the second is not later."""
    totals: tuple[TotalChange, ...]
    sizes: tuple[SizeChange, ...]
    """Those that have changed, by how much the bytes have: most first, growing or shrinking."""
    arenas: tuple[TotalChange, ...]
    """What each has got from the kernel, of those that have changed."""
    kinds: tuple[KindChange, ...]
    notes: tuple[str, ...]
    """What makes the comparison doubtful."""

    @property
    def grows(self) -> SizeChange | None:
        """The size of which most has come, if the second census is of the same living process."""
        if self.seconds is None or self.after.core:
            return None
        largest = max(self.sizes, key=lambda change: change.bytes, default=None)
        return largest if largest and largest.bytes > 0 else None

    def by_hour(self, change: float | None) -> float | None:
        """Return a change by the hour; None where that cannot be told."""
        if change is None or not self.seconds:
            return None
        return change * 3600 / self.seconds


def compare_heaps(before: HeapReport, after: HeapReport) -> HeapComparison:
    """Compare two censuses, of one process or of two."""
    seconds = _seconds_between(before, after) if _is_same(before, after) else None
    return HeapComparison(
        before,
        after,
        seconds,
        tuple(_total_changes(before, after)),
        tuple(_size_changes(before.sizes, after.sizes)),
        tuple(_arena_changes(before, after)),
        tuple(_kind_changes(before, after)),
        tuple(_notes(before, after)),
    )


def _is_same(before: HeapReport, after: HeapReport) -> bool:
    return (before.pid, before.command) == (after.pid, after.command)


def _seconds_between(before: HeapReport, after: HeapReport) -> float | None:
    """Return how much later the second was taken; None if that was not after the first."""
    try:
        first, second = (datetime.fromisoformat(each.taken_at) for each in (before, after))
        seconds = (second - first).total_seconds()
    except (TypeError, ValueError):  # one without an offset, or not a time at all
        return None
    return seconds if seconds > 0 else None


def _total_changes(before: HeapReport, after: HeapReport) -> Iterator[TotalChange]:
    def bytes_of(name: str, find: Callable[[HeapReport], int | None]) -> TotalChange:
        return TotalChange(name, find(before), find(after))

    def count_of(name: str, find: Callable[[HeapReport], int]) -> TotalChange:
        return TotalChange(name, find(before), find(after), is_bytes=False)

    yield bytes_of("resident", lambda report: report.resident_bytes)
    yield bytes_of("in use", lambda report: report.in_use.bytes)
    yield count_of("blocks in use", lambda report: report.in_use.count)
    yield bytes_of("in large blocks", lambda report: report.mmapped.bytes)
    yield bytes_of("free", lambda report: report.free_bytes)
    yield bytes_of("got from the kernel", lambda report: sum(map(_system_bytes, report.arenas)))
    yield count_of("arenas", lambda report: len(report.arenas))
    others = (use.name for report in (before, after) for use in report.allocators)
    for name in dict.fromkeys(others):
        yield TotalChange(
            f"resident, {name}", _resident_of(before, name), _resident_of(after, name)
        )


def _system_bytes(arena: Arena) -> int:
    return arena.system_bytes


def _resident_of(report: HeapReport, name: str) -> int | None:
    found = [use.resident_bytes for use in report.allocators if use.name == name]
    return _add_known(found) if found else 0


def _size_changes(before: Iterable[SizeClass], after: Iterable[SizeClass]) -> list[SizeChange]:
    """Return what has changed, by size.

    The classes of large blocks may begin and end elsewhere in the other report.
    """
    classes = sorted(
        [(size, False) for size in before] + [(size, True) for size in after],
        key=lambda each: each[0].low,
    )
    changes: list[SizeChange] = []
    for size, is_after in classes:
        amounts = (Amount(), size.in_use) if is_after else (size.in_use, Amount())
        last = changes[-1] if changes else None
        if last is not None and size.low <= last.high:
            changes[-1] = SizeChange(
                last.low,
                max(last.high, size.high),
                _add(last.before, amounts[0]),
                _add(last.after, amounts[1]),
            )
        else:
            changes.append(SizeChange(size.low, size.high, *amounts))
    changed = [change for change in changes if change.before != change.after]
    return sorted(changed, key=lambda change: -abs(change.bytes))


def _add(one: Amount, other: Amount) -> Amount:
    return Amount(one.count + other.count, one.bytes + other.bytes)


def _arena_changes(before: HeapReport, after: HeapReport) -> list[TotalChange]:
    old, new = (
        {arena.number: arena.system_bytes for arena in each.arenas} for each in (before, after)
    )
    changes = [
        TotalChange(f"arena {number}", old.get(number, 0), new.get(number, 0))
        for number in sorted({*old, *new})
    ]
    changed = [change for change in changes if change.change]
    return sorted(changed, key=lambda change: -abs(change.change or 0))


def _kind_changes(before: HeapReport, after: HeapReport) -> list[KindChange]:
    changes = []
    for kind in MappingKind:
        uses = [[use for use in each.mappings if use.kind is kind] for each in (before, after)]
        if any(uses):
            changes.append(_compare_kind(kind, *uses))
    return sorted(
        changes,
        key=lambda change: (-abs(change.resident.change or 0), -abs(change.size.change or 0)),
    )


def _compare_kind(
    kind: MappingKind, before: list[MappingUse], after: list[MappingUse]
) -> KindChange:
    return KindChange(
        kind,
        TotalChange("count", len(before), len(after), is_bytes=False),
        TotalChange("size", sum(use.size for use in before), sum(use.size for use in after)),
        TotalChange("resident", _resident(before), _resident(after)),
    )


def _resident(uses: list[MappingUse]) -> int | None:
    return _add_known(use.resident_bytes for use in uses)


def _add_known(values: Iterable[int | None]) -> int | None:
    """Return a sum; None where one of the values is unknown."""
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) if len(known) == len(found) else None


def _notes(before: HeapReport, after: HeapReport) -> Iterator[str]:
    """Yield what makes a comparison doubtful."""
    programs = [basename(each.command.split(" ")[0]) for each in (before, after)]
    if programs[0] != programs[1]:
        yield f"these are of different programs, {programs[0]} and {programs[1]}"
    elif before.pid != after.pid:
        yield (
            f"these are of different processes, {before.pid} and {after.pid}: a change is not a"
            " growth"
        )
    elif not _is_same(before, after):
        yield "the process has another command line: it may not be the same one"
    elif _seconds_between(before, after) is None:
        yield (
            f"the first was not taken before the second, but at {before.taken_at} and"
            f" {after.taken_at}"
        )
    for name, report in (("first", before), ("second", after)):
        doubtful = report.taking.unclear_bytes + report.taking.unsettled.bytes
        if doubtful > 0.01 * report.in_use.bytes:
            yield f"the {name} could not make out more than a hundredth of the heap"
