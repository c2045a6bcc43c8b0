"""Which size of blocks to record, after several censuses of a heap. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gdbleak.report.heap import HeapReport, SizeClass
from gdbleak.report.heap_findings.model import describe_range, grows, rate


class GrowingSize(NamedTuple):
    """A size that grows."""

    size: SizeClass
    option: str
    """What `--size` takes for it."""


def choose_size(report: HeapReport) -> GrowingSize | None:
    """Return the size that grows fastest, of those that grow steadily; None if none does."""
    growing = [each for each in _iter_sizes(report) if grows(each.size)]
    return max(growing, key=lambda each: rate(each.size), default=None)


def _iter_sizes(report: HeapReport) -> Iterator[GrowingSize]:
    """Yield the sizes of all allocators.

    Those of others than glibc serve requests from behind the next smaller size on.
    """
    for size in report.sizes:
        yield GrowingSize(size, describe_range(size.low, size.high))
    for use in report.allocators:
        below = -1
        for size in sorted(use.sizes, key=lambda size: size.low):
            low = below + 1 if size.low == size.high else size.low
            yield GrowingSize(size, describe_range(low, size.high))
            below = size.high
