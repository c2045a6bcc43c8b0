"""A row for each size of blocks, for spreadsheets and scripts: see docs/heap-report.md."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO

from gdbleak.renderers.csv import safe_cell
from gdbleak.report.heap import HeapReport, SizeClass

COLUMNS = (
    "allocator",
    "low",
    "high",
    "count",
    "bytes",
    "free_count",
    "free_bytes",
    "count_per_s",
    "count_steadiness",
    "bytes_per_s",
    "bytes_steadiness",
    "history",
)


def as_csv(report: HeapReport) -> str:
    """Return all sizes of glibc's malloc, and those that other allocators say they have."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(report))
    return text.getvalue()


def _rows(report: HeapReport) -> Iterator[list[object]]:
    for size in report.sizes:
        yield ["glibc", *_cells(size)]
    for allocator in report.allocators:
        for size in allocator.sizes:
            yield [safe_cell(allocator.name), *_cells(size)]


def _cells(size: SizeClass) -> list[object]:
    cells: list[object] = [
        size.low,
        size.high,
        size.in_use.count,
        size.in_use.bytes,
        size.free.count,
        size.free.bytes,
    ]
    growth = size.growth
    if growth is None:
        return [*cells, *[None] * 5]
    return [*cells, *growth.count, *growth.bytes, " ".join(map(str, growth.history))]
