"""The programs of tests/targets/heaps, which know what is in their heap, and what gdbleak says."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass
from typing import Any

from support.processes import Target


def ask_truth(target: Target) -> dict[str, Any]:
    """Return what a program says of its heap: see targets/heaps/truth.h and the program."""
    truth: dict[str, Any] = json.loads(target.ask("truth"))
    for key in ("in_use", "freed"):
        truth[key] = {int(size): count for size, count in truth[key].items() if count}
    return truth


@dataclass(frozen=True)
class GlibcArena:
    """What glibc itself tells of an arena."""

    fast_count: int
    """Since 2.43 there are no fast bins."""
    unsorted_count: int
    binned_count: int
    """In all other bins, the unsorted one included."""
    binned_bytes: int
    """In these, and in the top."""
    system_bytes: int


def ask_glibc(target: Target) -> list[GlibcArena]:
    """Return what malloc_info(3) tells: blocks in the caches of threads count as in use there."""
    target.tell("info")
    lines = [target.lines.next()]
    while lines[-1] != "</malloc>":
        lines.append(target.lines.next())
    return [_read_arena(heap) for heap in ElementTree.fromstring("\n".join(lines)).iter("heap")]


def _read_arena(heap: ElementTree.Element) -> GlibcArena:
    totals = {total.get("type"): total for total in heap.iter("total")}
    current = next(each for each in heap.iter("system") if each.get("type") == "current")
    return GlibcArena(
        int(totals["fast"].get("count", 0)) if "fast" in totals else 0,
        sum(int(each.get("count", 0)) for each in heap.iter("unsorted")),
        int(totals["rest"].get("count", 0)) - 1,  # the top is counted, too
        int(totals["rest"].get("size", 0)),
        int(current.get("size", 0)),
    )


def count_blocks(report: dict[str, Any], state: str) -> Counter[int]:
    """Return how many blocks a report tells of by their size; of a range, by the least one.

    Args:
        report: In JSON.
        state: in_use or free.

    """
    return +Counter({row["low"]: row[state]["count"] for row in report["sizes"]})
