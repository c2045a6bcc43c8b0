"""A call stack as lines, with what it holds and what its verdict rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from gdbleak.renderers.cycles import Cycle, find_cycles
from gdbleak.renderers.frames import describe, show_name
from gdbleak.renderers.internals import find_runs
from gdbleak.renderers.references import describe_references
from gdbleak.report.model import Frame, Site
from gdbleak.text.lines import Line
from gdbleak.text.names import shorten
from gdbleak.text.units import count_of, format_bytes, format_seconds

_BLOCKS = 20
"""How many blocks of a site are shown."""
_FUNCTION = 100
"""How many characters the name of a function may have before its arguments are left out."""

HINT = " (--internals shows them)"


class _Entry(NamedTuple):
    """What is shown in one line: a frame, or a run of frames that lie inside libraries."""

    text: str
    first: int
    """The number of its frame, or of its first one."""
    last: int
    is_run: bool = False


def stack_lines(
    site: Site,
    others: Mapping[int, Site] | None = None,
    internals: bool = False,
    hint: str = "",
) -> Iterator[Line]:
    """Yield a call stack, below a title that says what it holds.

    Args:
        site: Of a report.
        others: The sites of that report by rank, where the reader knows them by it.
        internals: Whether frames inside of libraries are shown one by one.
        hint: Says how to see those where they are not.

    """
    yield Line(f"Stack {site.rank}: {_describe_size(site)}", style="title")
    if site.verdict:
        yield Line(f"  {site.verdict.word}: {site.verdict.evidence}", indent=4)
    for sentence in describe_references(site, others):
        yield Line(f"  {sentence}", indent=4)
    entries = [*_entries(site, internals)]
    texts = [entry.text for entry in entries]
    indent = _indent(site.frames)
    shown = 0
    for cycle in find_cycles(texts):
        yield from _lines(entries[shown : cycle.first_end], indent, hint)
        yield _repeated(cycle, entries, indent)
        shown = cycle.end
    yield from _lines(entries[shown:], indent, hint)
    if site.truncated:
        yield Line("  ... deeper frames are unknown (see --stack-bytes, --max-frames)", indent=6)
    elif not site.frames:
        yield Line("  (no frame is known)")
    yield from _blocks(site)


def _entries(site: Site, internals: bool) -> Iterator[_Entry]:
    """Yield what is shown of a stack, the innermost frame first."""
    runs = {} if internals else {run.start: run for run in find_runs(site.frames, site.caller)}
    number = 0
    while number < len(site.frames):
        run = runs.get(number)
        if run is None:
            yield _Entry(_describe(site.frames[number]), number, number)
        else:
            yield _Entry(run.text, number, run.end - 1, is_run=True)
        number = run.end if run else number + 1


def _lines(entries: Sequence[_Entry], indent: int, hint: str) -> Iterator[Line]:
    for text, first, _, is_run in entries:
        number = f"  {'' if is_run else f'#{first}'}".ljust(indent)
        yield Line(f"{number}{text}{hint if is_run else ''}", indent)


def _repeated(cycle: Cycle, entries: Sequence[_Entry], indent: int) -> Line:
    frames = entries[cycle.first_end - 1].last - entries[cycle.start].first + 1
    what = "" if frames == 1 else f"these {frames} frames "
    last = entries[cycle.end - 1].last
    return Line(f"{'':{indent}}... {what}{cycle.times:,} times in all, up to #{last}", indent)


def _blocks(site: Site) -> Iterator[Line]:
    """Yield the oldest blocks, if they were asked for, and how many there are beside them."""
    shown = site.blocks[:_BLOCKS]
    if not shown:
        return
    sizes = [format_bytes(block.size) for block in shown]
    width = max(map(len, sizes))
    yield Line("  outstanding blocks, the oldest first:")
    for block, size in zip(shown, sizes):
        yield Line(f"    {block.address:#x}  {size:>{width}}  {format_seconds(block.age_s)} old")
    more = site.counted.outstanding_count - len(shown)
    if more:
        listed = len(site.blocks)
        hint = f" (JSON lists the oldest {listed:,})" if listed > len(shown) else ""
        yield Line(f"    ... {count_of(more, 'more block')}{hint}")


def _describe_size(site: Site) -> str:
    noun = "block" if site.kind == "heap" else site.kind
    counted = site.counted
    count = count_of(counted.outstanding_count, noun)
    recorded = f"{format_bytes(counted.outstanding_bytes)} in {count}"
    low, high = site.outstanding_bytes_low, site.outstanding_bytes_high
    if low is None or high is None:
        return recorded
    return f"between {format_bytes(low)} and {format_bytes(high)}; recorded {recorded}"


def _describe(frame: Frame) -> str:
    function = shorten(frame.function or "", _FUNCTION)
    return describe(replace(frame, function=function), gap="  ", show=show_name)


def _indent(frames: Sequence[Frame]) -> int:
    """Return the column of the functions, behind numbers of at least two digits."""
    return max(len(f"  #{len(frames) - 1} "), len("  #10 "))
