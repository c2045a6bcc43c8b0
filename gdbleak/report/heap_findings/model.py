"""What all findings share: their parts, what they add up, and the commands that they name. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from gdbleak.report.heap import HeapReport, MappingKind, MappingUse, SizeClass
from gdbleak.report.trend import ENOUGH
from gdbleak.text.lines import cut, printable

GROWING = 64 << 10
"""Bytes an hour, 46 MB a month. Nobody has to restart a process that grows more slowly."""

LARGE = 1 << 20
"""Bytes. Of less, nothing is worth a search."""

_INTERVAL_S = 60.0
"""Between the censuses that a finding proposes: a slow leak shows in a minute, not in a second."""

_LONGEST = 60
"""How many characters of a name a sentence has."""

HEAPS = frozenset(
    (MappingKind.HEAP, MappingKind.ARENA, MappingKind.ARENA_ROOM, MappingKind.LARGE_BLOCK)
)
"""What glibc's malloc has got."""


STEADILY = 0.85
"""Of a hundred sizes that go up and down, some rise by chance: of six censuses at random, less than
one in a hundred series is as steady as this (M. G. Kendall, Rank Correlation Methods, table 1)."""


class Rank(IntEnum):
    """What comes before what."""

    WRONG = 0
    """Something is lost, or grows."""
    TAKES = 1
    """Something takes memory."""
    LOOKS = 2
    """Something only looks as if it did; or all is well."""


class Finding(NamedTuple):
    """Something to know about a heap."""

    text: str
    """One or two sentences; whatever comes from the process is escaped."""
    command: str | None = None
    """What to type next, if that helps."""
    is_alarm: bool = False
    """Whether memory is lost, or grows for certain."""


class Weighed(NamedTuple):
    """A finding, and how much it matters."""

    rank: Rank
    bytes: float
    """How much memory it is about, an hour or in all; of one rank, most come first."""
    finding: Finding


def grows(size: SizeClass) -> bool:
    """Whether the blocks of a size take more and more, steadily."""
    growth = size.growth
    return growth is not None and rate(size) >= GROWING and growth.bytes.steadiness >= STEADILY


def rate(size: SizeClass) -> float:
    """Return by how many bytes an hour a size grows; 0 after a single census."""
    return size.growth.bytes.slope * 3600 if size.growth else 0.0


def describe_size(size: SizeClass) -> str:
    """Return a size as `gdbleak trace --size` takes it, in bytes: `24`, or `1040-1528`."""
    return describe_range(size.low, size.high)


def describe_range(low: int, high: int) -> str:
    """Return sizes from one to another as `gdbleak trace --size` takes them, in bytes."""
    return f"{low}" if low == high else f"{low}-{high}"


def trace(report: HeapReport, options: str) -> str | None:
    """Return the command that records a process; None for a core file, which nothing can."""
    return None if report.core else f"gdbleak trace {report.pid} {options}"


def name_target(report: HeapReport) -> str:
    """Return what a command takes: a process id, or the path of a core file."""
    return printable(shlex.quote(report.core)) if report.core else str(report.pid)


def watch(report: HeapReport) -> str | None:
    """Return the command that tells more about a heap than a census; None if that was done."""
    if report.core:
        can_tell = report.libc is not None and report.lost is None
        return f"gdbleak heap {name_target(report)} --lost" if can_tell else None
    if report.taking.censuses >= ENOUGH:
        return None
    interval = max(report.taking.interval_s, _INTERVAL_S)
    return f"gdbleak heap {report.pid} --interval {interval:g} --count {ENOUGH}"


def show(name: str) -> str:
    """Return a name that is short and safe enough for a sentence."""
    return printable(cut(name, _LONGEST))


def of_kind(report: HeapReport, *kinds: MappingKind) -> list[MappingUse]:
    """Return the mappings of some kinds."""
    return [mapping for mapping in report.mappings if mapping.kind in kinds]


def add_known(values: Iterable[int | None]) -> int:
    """Return the sum of those that are known."""
    return sum(value or 0 for value in values)
