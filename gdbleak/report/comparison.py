"""What has changed from one report to another. Pure.

Two windows are of different processes, and often of different builds: addresses and lines are not
the same. A call stack is known by the functions on it; what has no symbol by its place in its file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from posixpath import basename

from gdbleak.report.model import Frame, Report, Site, Word
from gdbleak.text.choices import Choice

_Z = 1.96
"""Of a normal distribution, 95 % lie closer to the mean than so many standard deviations."""

NOTABLE = 1.2
"""A rate that is not this many times the other is not called different."""


class Change(Choice):
    """What became of a call stack; the most urgent first."""

    NEW = "new"
    FASTER = "faster"
    SAME = "same"
    SLOWER = "slower"
    GONE = "gone"


@dataclass(frozen=True)
class Side:
    """A call stack in one of the reports: all sites that are known alike, together."""

    outstanding_bytes: float = 0.0
    outstanding_count: float = 0.0
    bytes_per_s: float = 0.0
    low_per_s: float = 0.0
    high_per_s: float = 0.0
    """With a confidence of 95 %, the rate lies between these two."""
    word: Word | None = None
    """The verdict on the largest of them."""
    unreached: int = 0
    """Recorded blocks that nothing refers to, or only such blocks do; 0 where nobody has looked."""


@dataclass(frozen=True)
class Difference:
    """A call stack in both."""

    change: Change
    before: Side
    after: Side
    site: Site
    """The largest of those that are known alike, from the later report that has one."""

    @property
    def bytes_per_s(self) -> float:
        """By how much faster it grows; negative when it is slower."""
        return self.after.bytes_per_s - self.before.bytes_per_s


@dataclass(frozen=True)
class Comparison:
    """Two reports, call stack by call stack."""

    before: Report
    after: Report
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def compare(before: Report, after: Report) -> Comparison:
    """Compare two reports: what grew most from the first to the second comes first."""
    sides = [_group(report.leaking) for report in (before, after)]
    differences = []
    for key in {**sides[0], **sides[1]}:
        old, new = (side.get(key, []) for side in sides)
        first, second = _add_up(old, before), _add_up(new, after)
        site = max(new or old, key=lambda site: site.outstanding_bytes)
        differences.append(Difference(_judge(first, second), first, second, site))
    order = [*Change]
    differences.sort(key=lambda d: (order.index(d.change), -d.bytes_per_s))
    return Comparison(before, after, tuple(differences), tuple(_notes(before, after)))


def _group(sites: Iterable[Site]) -> dict[tuple[str, ...], list[Site]]:
    groups: dict[tuple[str, ...], list[Site]] = {}
    for site in sites:
        groups.setdefault((site.kind, *map(_identify, site.frames)), []).append(site)
    return groups


def _identify(frame: Frame) -> str:
    """Return what a frame is known by in another build, where lines and addresses differ."""
    if frame.function:
        return frame.function
    if frame.module is None or frame.offset is None:
        return hex(frame.address)
    return f"{basename(frame.module)}+{frame.offset:#x}"


def _add_up(sites: list[Site], report: Report) -> Side:
    """Return what sites hold together, and between which bounds chance leaves their rate."""
    seconds = report.window.duration_s or 1.0
    size = count = low = high = 0.0
    for site in sites:
        size += site.outstanding_bytes
        count += site.outstanding_count
        if site.outstanding_bytes_low is not None and site.outstanding_bytes_high is not None:
            low += site.outstanding_bytes_low
            high += site.outstanding_bytes_high
        elif site.outstanding_count:
            # So many blocks came; of the next window, so many more or fewer are to be expected.
            spread = _Z * sqrt(site.outstanding_count) / site.outstanding_count
            low += site.outstanding_bytes * max(1 - spread, 0.0)
            high += site.outstanding_bytes * (1 + spread)
    largest = max(sites, key=lambda s: s.outstanding_bytes, default=None)
    word = largest.verdict.word if largest and largest.verdict else None
    unreached = sum(site.reach.unreached for site in sites if site.reach)
    return Side(size, count, size / seconds, low / seconds, high / seconds, word, unreached)


def _judge(before: Side, after: Side) -> Change:
    if not before.outstanding_count:
        return Change.NEW
    if not after.outstanding_count:
        return Change.GONE
    if after.low_per_s > before.high_per_s and after.bytes_per_s > NOTABLE * before.bytes_per_s:
        return Change.FASTER
    if after.high_per_s < before.low_per_s and before.bytes_per_s > NOTABLE * after.bytes_per_s:
        return Change.SLOWER
    return Change.SAME


def _notes(before: Report, after: Report) -> Iterable[str]:
    """Yield what makes a comparison doubtful."""
    programs = [basename(report.target.exe or report.target.command) for report in (before, after)]
    if programs[0] != programs[1]:
        yield f"these are reports of different programs, {programs[0]} and {programs[1]}"
    durations = [report.window.duration_s for report in (before, after)]
    if max(durations) > 3 * min(durations):
        yield (
            "one window is more than three times as long as the other: it sees more of what lives"
            " for long; compare windows of the same length"
        )
    sampled = [report.window.sampling is not None for report in (before, after)]
    if any(sampled):
        which = "both windows were" if all(sampled) else "one of the windows was"
        yield f"{which} recorded in bursts: rates are estimates; with --budget 100 they are counted"
    for name, report in (("first", before), ("second", after)):
        if not report.window.complete:
            yield f"the {name} recording is cut off before its window ended: it shows too little"
        if not any(frame.function for site in report.sites for frame in site.frames):
            yield f"the {name} report names no function: its call stacks may not match the others"
