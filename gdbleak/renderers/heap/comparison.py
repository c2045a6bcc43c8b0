"""What `gdbleak diff` shows of two censuses of heaps: text for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from gdbleak.renderers.columns import NARROWEST, draw_columns, numbers, words
from gdbleak.renderers.heap.sections import (
    Layout,
    heading,
    not_shown,
    optional_bytes,
    show,
    signed_bytes,
)
from gdbleak.report.heap import HeapReport
from gdbleak.report.heap_comparison import HeapComparison, KindChange, SizeChange, TotalChange
from gdbleak.report.heap_findings.model import describe_range
from gdbleak.text.lines import fold, printable
from gdbleak.text.units import format_count, format_seconds

SCHEMA = "gdbleak.heap-diff/1"


def as_json(comparison: HeapComparison) -> str:
    """Return everything, as one JSON object."""
    record = {
        "schema": SCHEMA,
        "before": _about(comparison.before),
        "after": _about(comparison.after),
        "seconds": comparison.seconds,
        "notes": comparison.notes,
        "totals": [_total(comparison, change) for change in comparison.totals],
        "sizes": [
            {
                **asdict(change),
                "count_change": change.count,
                "bytes_change": change.bytes,
                "bytes_per_hour": comparison.by_hour(change.bytes),
            }
            for change in comparison.sizes
        ],
        "arenas": [_total(comparison, change) for change in comparison.arenas],
        "kinds": [
            {
                "kind": str(change.kind),
                "count": _sides(change.count),
                "size": _sides(change.size),
                "resident": _sides(change.resident),
            }
            for change in comparison.kinds
        ],
    }
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def _about(report: HeapReport) -> dict[str, object]:
    return {
        "pid": report.pid,
        "command": report.command,
        "core": report.core,
        "taken_at": report.taken_at,
    }


def _total(comparison: HeapComparison, change: TotalChange) -> dict[str, object]:
    by_hour = comparison.by_hour(change.change)
    return {
        "name": change.name,
        "unit": "bytes" if change.is_bytes else "count",
        **_sides(change),
        "per_hour": by_hour,
    }


def _sides(change: TotalChange) -> dict[str, int | None]:
    return {"before": change.before, "after": change.after, "change": change.change}


def as_text(comparison: HeapComparison, top: int, width: int | None) -> str:
    """Return tables of what has changed.

    Args:
        comparison: What to show.
        top: How many rows a table has at most.
        width: Characters of a line of the terminal; None if lines may have any length.

    """
    room = max(width, NARROWEST) if width else None
    lines = [fold(line, room, 8) if room else line for line in _about_both(comparison)]
    lines += ["", _totals(comparison)]
    if comparison.sizes:
        lines += ["", "Blocks by size", *_sizes(comparison, top, room)]
    else:
        lines += ["", "No size of blocks has changed."]
    if len(comparison.arenas) > 1:
        lines += ["", "Arenas", *_arenas(comparison, top)]
    changed = [change for change in comparison.kinds if _has_changed(change)]
    if changed:
        lines += ["", "Address space", _kinds(changed)]
    if comparison.grows:
        size = describe_range(comparison.grows.low, comparison.grows.high)
        lines += ["", f"Next: gdbleak trace {comparison.after.pid} --size {size}"]
    text = "\n".join(line.rstrip() for part in lines for line in part.split("\n")) + "\n"
    return text if width else text.encode("ascii", "backslashreplace").decode()


def _about_both(comparison: HeapComparison) -> Iterator[str]:
    for name, report in (("before: ", comparison.before), ("after:  ", comparison.after)):
        yield f"{name}{heading(report)}, at {show(report.taken_at)}"
    if comparison.seconds is not None:
        yield f"        {format_seconds(comparison.seconds)} later"
    for note in comparison.notes:
        yield f"note: {printable(note)}"
    if comparison.seconds is not None:
        yield "Two censuses make no trend: what came between them may go again."


def _totals(comparison: HeapComparison) -> str:
    rows = [
        [show(change.name), *_cells(change, comparison)]
        for change in comparison.totals
        if change.before or change.after
    ]
    return draw_columns((*words("Total"), *numbers(*_headers(comparison))), rows)


def _sizes(comparison: HeapComparison, top: int, room: int | None) -> Iterator[str]:
    headers = ["Size", "Blocks", "Change", *_headers(comparison)]
    rows = [_size_row(change, comparison) for change in comparison.sizes[:top]]
    table = draw_columns(numbers(*headers), rows)
    if room and max(map(len, table.split("\n"))) > room:  # what was there before can be missed
        gone = headers.index("Before")
        headers, *rows = ([*row[:gone], *row[gone + 1 :]] for row in (headers, *rows))
        table = draw_columns(numbers(*headers), rows)
    yield table
    yield from not_shown(len(comparison.sizes), Layout(top), "size")


def _size_row(change: SizeChange, comparison: HeapComparison) -> list[str]:
    return [
        describe_range(change.low, change.high),
        format_count(change.after.count),
        _signed(change.count),
        *_cells(TotalChange("", change.before.bytes, change.after.bytes), comparison),
    ]


def _arenas(comparison: HeapComparison, top: int) -> Iterator[str]:
    rows = [[change.name, *_cells(change, comparison)] for change in comparison.arenas[:top]]
    yield draw_columns((*words("From the kernel"), *numbers(*_headers(comparison))), rows)
    yield from not_shown(len(comparison.arenas), Layout(top), "arena")


def _has_changed(change: KindChange) -> bool:
    return any(each.before != each.after for each in (change.count, change.size, change.resident))


def _kinds(changes: Iterable[KindChange]) -> str:
    rows = [
        [
            str(change.kind),
            f"{change.count.before or 0:,} -> {change.count.after or 0:,}",
            signed_bytes(change.size.change),
            optional_bytes(change.resident.before),
            optional_bytes(change.resident.after),
            signed_bytes(change.resident.change),
        ]
        for change in changes
    ]
    columns = (*words("Kind"), *numbers("Count", "Size", "Resident", "After", "Change"))
    return draw_columns(columns, rows)


def _headers(comparison: HeapComparison) -> list[str]:
    headers = ["Before", "After", "Change"]
    return headers if comparison.seconds is None else [*headers, "Per hour"]


def _cells(change: TotalChange, comparison: HeapComparison) -> list[str]:
    """Return both sides of a change, how much it is, and by the hour if that can be told."""
    if change.is_bytes:
        cells = [optional_bytes(change.before), optional_bytes(change.after)]
        by_hour = signed_bytes(comparison.by_hour(change.change))
        cells.append(signed_bytes(change.change))
    else:
        cells = [format_count(change.before or 0), format_count(change.after or 0)]
        cells.append(_signed(change.change))
        by_hour = _signed(comparison.by_hour(change.change))
    return cells if comparison.seconds is None else [*cells, by_hour]


def _signed(count: float | None) -> str:
    if count is None:
        return "?"
    sign = "+" if count > 0 else "-" if count < 0 else ""
    return f"{sign}{format_count(round(abs(count)))}"
