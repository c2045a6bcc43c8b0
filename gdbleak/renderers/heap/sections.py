"""What the formats for people show of a heap: tables of plain strings, which each lays out.

Everything that comes from the process leaves here shortened and escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from gdbleak.renderers.columns import GAP, NARROWEST, Column, numbers, room_for_last, words
from gdbleak.report.heap import Amount, Arena, Free, HeapReport, SizeClass
from gdbleak.report.heap_findings.model import describe_size
from gdbleak.text.lines import cut, printable
from gdbleak.text.sparkline import ASCII_BARS, BARS, draw_bars
from gdbleak.text.units import count_of, format_bytes, format_count, format_percent

LONGEST = 200
"""How many characters of a name are shown; the middle of a longer one is cut out."""

_MOST_BLOCKS = 10**11
_BARS = 12
(_TREND,) = words("Trend")


class Layout(NamedTuple):
    """How much is shown, and on what."""

    top: int
    """How many rows a table has at most."""
    width: int | None = None
    """Characters of a line; None if lines may have any length."""
    color: bool = False
    ascii_only: bool = True
    rest: str = "see --top {total}"
    """Where all of what a table leaves out can be found."""

    @property
    def room(self) -> int | None:
        """Characters of a line that tables are made for."""
        return max(self.width, NARROWEST) if self.width else None


class Section(NamedTuple):
    """A table below a title, with sentences below it."""

    title: str
    columns: tuple[Column, ...] = ()
    rows: Sequence[Sequence[str]] = ()
    below: tuple[str, ...] = ()
    names: bool = False
    """Whether the last column holds names that are folded where they are too long."""


def show(text: str) -> str:
    """Return a name that is short and safe enough to show."""
    return printable(cut(" ".join(text.split()), LONGEST))


def optional_bytes(count: int | None) -> str:
    """Return a size, or a question mark where nobody knows."""
    return "?" if count is None else format_bytes(count)


def exact_count(count: int) -> str:
    """Return a count to the last one, unless nobody can have so many blocks."""
    return f"{count:,}" if count < _MOST_BLOCKS else format_count(count)


def signed_bytes(count: float | None) -> str:
    """Return by how much something has changed."""
    if count is None:
        return "?"
    return f"+{format_bytes(count)}" if count > 0 else format_bytes(count)


def not_shown(total: int, layout: Layout, noun: str, held: int | None = None) -> tuple[str, ...]:
    """Return a line that says how many rows a table leaves out, and how many bytes these hold."""
    if total <= layout.top:
        return ()
    size = "" if held is None else f" with {format_bytes(held)}"
    rest = layout.rest.format(total=total)
    return (f"{count_of(total - layout.top, f'more {noun}')}{size}: {rest}",)


def size_section(
    sizes: Sequence[SizeClass], in_use: Amount, layout: Layout, title: str = "Blocks by size"
) -> Section:
    """Return the sizes of blocks in use, with their growth after several censuses."""
    shown = sizes[: layout.top]
    columns = numbers("Size", "Blocks", "Bytes", "Share", "Free")
    rows = [_size_row(size, in_use) for size in shown]
    if any(size.growth for size in sizes):
        columns, rows = _add_growth(columns, rows, shown, layout)
    rest = sum(size.in_use.bytes for size in sizes[layout.top :])
    below = not_shown(len(sizes), layout, "size", rest)
    return Section(title, columns, rows, below)


def _size_row(size: SizeClass, in_use: Amount) -> list[str]:
    return [
        describe_size(size),
        exact_count(size.in_use.count),
        format_bytes(size.in_use.bytes),
        format_percent(size.in_use.bytes, in_use.bytes),
        format_bytes(size.free.bytes),
    ]


def _add_growth(
    columns: tuple[Column, ...],
    rows: list[list[str]],
    sizes: Iterable[SizeClass],
    layout: Layout,
) -> tuple[tuple[Column, ...], list[list[str]]]:
    columns = (*columns, *numbers("Per hour", "Steady"))
    made = [[*row, *_growth_cells(size)] for row, size in zip(rows, sizes)]
    room = _room_for_trend(columns, made, layout)
    if room < -GAP:  # how much is free can be missed first
        free = [column.header for column in columns].index("Free")
        columns = (*columns[:free], *columns[free + 1 :])
        made = [[*row[:free], *row[free + 1 :]] for row in made]
    if room < len(_TREND.header):
        return columns, made
    bars = ASCII_BARS if layout.ascii_only else BARS
    return (*columns, _TREND), [
        [*row, draw_bars(size.growth.history, min(room, _BARS), bars=bars) if size.growth else ""]
        for row, size in zip(made, sizes)
    ]


def _room_for_trend(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], layout: Layout
) -> int:
    """Return how many bars fit beside the other columns; below minus `GAP` if not even these."""
    if layout.room is None:
        return _BARS
    return room_for_last((*columns, _TREND), [[*row, ""] for row in rows], layout.room)


def _growth_cells(size: SizeClass) -> list[str]:
    if size.growth is None:
        return ["-", "-"]
    trend = size.growth.bytes
    return [signed_bytes(trend.slope * 3600), f"{100 * trend.steadiness:.0f} %"]


_ARENA_NUMBERS: dict[str, Callable[[Arena], str]] = {
    "#": lambda arena: str(arena.number),
    "System": lambda arena: format_bytes(arena.system_bytes),
    "Resident": lambda arena: optional_bytes(arena.resident_bytes),
    "In use": lambda arena: format_bytes(arena.in_use.bytes),
    "Cached": lambda arena: _free_of(arena, Free.CACHED, Free.FAST),
    "Free": lambda arena: _free_of(arena, Free.UNSORTED, Free.SMALL, Free.LARGE),
    "Top": lambda arena: _free_of(arena, Free.TOP),
    "Trim": lambda arena: format_bytes(arena.trimmable_bytes),
}


def order_arenas(arenas: Iterable[Arena]) -> list[Arena]:
    """Return the arenas as they are shown: the main one first, the others by what they have got."""
    return sorted(arenas, key=lambda arena: (arena.number > 0, -arena.system_bytes))


def arena_section(arenas: Sequence[Arena], layout: Layout) -> Section:
    """Return the arenas: what they have got, what of it is in use, and where the rest is."""
    ordered = order_arenas(arenas)
    shown = ordered[: layout.top]
    columns = numbers(*_ARENA_NUMBERS)
    rows = [[cell(arena) for cell in _ARENA_NUMBERS.values()] for arena in shown]
    if any(arena.threads for arena in arenas):
        columns = (*columns, *words("Threads"))
        rows = _add_threads(columns, rows, shown, layout)
        columns = columns[: len(rows[0])]
    rest = sum(arena.system_bytes for arena in ordered[layout.top :])
    below = not_shown(len(arenas), layout, "arena", rest)
    return Section("Arenas", columns, rows, below, names=len(columns) > len(_ARENA_NUMBERS))


def _add_threads(
    columns: tuple[Column, ...],
    rows: list[list[str]],
    arenas: Iterable[Arena],
    layout: Layout,
) -> list[list[str]]:
    """Add who uses an arena, or only how many do, as far as there is room."""
    named = [[*row, show(", ".join(arena.threads))] for row, arena in zip(rows, arenas)]
    if layout.room is None:
        return named
    room = room_for_last(columns, named, layout.room)
    if room < len(columns[-1].header):
        return rows
    return [
        [*row, name if len(name) <= room else f"{len(arena.threads):,}"]
        for (*row, name), arena in zip(named, arenas)
    ]


def _free_of(arena: Arena, *places: Free) -> str:
    return format_bytes(sum(arena.free[place].bytes for place in places if place in arena.free))


def heading(report: HeapReport) -> str:
    """Return the line that says whose heap it is."""
    of = f"{show(report.command)} (pid {report.pid})"
    if report.core:
        of = f"{show(report.core)}, a core file of {of}"
    return (
        f"{of}, {show(report.libc)}" if report.libc else f"{of}, without a heap of glibc's malloc"
    )


def sum_up(report: HeapReport) -> Iterator[tuple[str, str]]:
    """Yield how much there is: a number, and what it means."""
    if report.resident_bytes is not None:
        yield format_bytes(report.resident_bytes), "in the core" if report.core else "resident"
    if report.libc is None:
        return
    of = count_of(report.in_use.count, "block")
    if report.mmapped.count:
        large = format_bytes(report.mmapped.bytes)
        of += f" ({large} of it in {count_of(report.mmapped.count, 'large block')})"
    yield format_bytes(report.in_use.bytes), f"in use in {of}"
    yield format_bytes(report.free_bytes), "free"
