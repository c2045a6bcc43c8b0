"""What the heap held in a window, beside what was recorded in it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from gdbleak.analysis.collect import Collected
from gdbleak.analysis.estimates import Estimates
from gdbleak.analysis.grouping import Key
from gdbleak.analysis.tally import Tally
from gdbleak.recording.end import HeapCount
from gdbleak.recording.head import Head
from gdbleak.recording.reader import Recording
from gdbleak.report.heap_findings.model import describe_range
from gdbleak.report.window import GrowingSize, HeapWindow
from gdbleak.text.units import format_factor
from gdbleak.verdicts.levels import Levels

LISTED = 10
"""So many sizes that grow are told of."""
NOTED = 2
"""Of so many of them a note says that the window did not see them."""


def find_levels(
    recording: Recording,
    collected: Collected,
    tallies: Mapping[Key, Tally],
    estimates: Estimates,
) -> Levels:
    """Return what the censuses of a window say, against what was recorded in it."""
    return Levels(
        None if recording.head.sizes else collected.censuses,  # other sizes were not recorded
        (tally.came for tally in tallies.values()),
        collected.older_frees,
        collected.span.window_ns,
        _find_age(recording.head),
        estimates.one_of,
        estimates.sampling.scale if estimates.sampling else None,
        (tally.came for tally in tallies.values() if tally.is_lost),
    )


def _find_age(head: Head) -> float | None:
    """Return how old the process was when it was traced; None where the recording does not tell."""
    if head.target.started is None:
        return None
    began, traced = map(datetime.fromisoformat, (head.target.started, head.started))
    return max((traced - began).total_seconds(), 0.0)


def describe_heap(counted: HeapCount | None, levels: Levels) -> HeapWindow | None:
    """Return what the report says of the heap."""
    if counted is None:
        return None
    growing = (
        GrowingSize(size.low, size.high, size.counts[0], size.counts[-1], per_s, float(seen))
        for size, per_s, seen in levels.find_growing()[:LISTED]
    )
    return HeapWindow(counted.censuses, counted.took_s, counted.reason, tuple(growing))


def note_unseen(pid: int, levels: Levels) -> Iterator[str]:
    """Yield a sentence on each size that grows in the heap, but not in what was recorded."""
    unseen = [each for each in levels.find_growing() if each.is_unseen]
    for size, per_s, seen in unseen[:NOTED]:
        sizes = describe_range(size.low, size.high)
        yield (
            f"the heap holds more and more blocks of {sizes} bytes, {size.counts[0]:,} ->"
            f" {size.counts[-1]:,} (+{format_factor(per_s)}/s), and this window saw {seen:,} of"
            f" them stay: `gdbleak trace {pid} --size {sizes}` records only these"
        )
