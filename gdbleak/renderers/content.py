"""What the formats for people show, as plain strings; each format only lays them out.

Everything that comes from the target leaves here shortened and escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from posixpath import basename

from gdbleak.renderers.columns import numbers, words
from gdbleak.renderers.cycles import Cycle, find_cycles
from gdbleak.renderers.references import describe_references
from gdbleak.renderers.summary import summary
from gdbleak.report.model import Frame, Report, Site
from gdbleak.text.lines import Line, cut, printable
from gdbleak.text.names import shorten
from gdbleak.text.units import count_of, format_bytes, format_count, format_seconds

COLUMNS = (
    *numbers("#", "Bytes", "Blocks", "Allocs", "Freed", "Bytes/s"),
    *words("Verdict", "Caller"),
)
"""Columns of the table of sites."""

_LIMIT = 200
"""How many characters of a name are shown; the middle of a longer one is cut out."""
_BLOCKS = 20
"""How many blocks of a site are shown."""
_FUNCTION_IN_CELL = 60
_FUNCTION_IN_STACK = 100
"""How many characters the name of a function may have before its arguments are left out."""


def heading(report: Report) -> Line:
    """Return the line that says what was watched, and for how long."""
    target = report.target
    command = cut(" ".join(target.command.split()), _LIMIT)  # some pad their titles
    allocator = cut(target.allocator, _LIMIT)
    duration = format_seconds(report.window.duration_s)
    pid = f"pid {target.pid}"
    if target.namespace_pid is not None:
        pid += f", {target.namespace_pid} in its container"
    text = f"{command} ({pid}), {allocator}, watched for {duration}"
    return Line(printable(text), style="title")


def rows(sites: Iterable[Site]) -> list[list[str]]:
    """Return the rows of the table of sites, one cell for each of `COLUMNS`."""
    return [[*_numbers(site), describe_caller(site)] for site in sites]


def below_table(report: Report, top: int) -> Iterator[Line]:
    """Yield everything below the table: what it leaves out, stacks, summary, notes."""
    if not report.leaking:
        yield Line(nothing_outstanding(report))
    elif report.leaking[top:]:
        yield Line(f"{not_shown(report, top)}: see --top {len(report.leaking)}")
    others = {site.rank: site for site in report.sites}
    for site in report.leaking[:top]:
        yield Line("")
        yield from stack_lines(site, others)
    yield Line("")
    yield from summary(report)


def describe(frame: Frame, gap: str = " ", show: Callable[[str], str] = printable) -> str:
    """Return `function file:line (module)`, or `module+offset` without a symbol.

    `gap` stands behind the function; `show` makes the names safe to show.
    """
    module = show(basename(frame.module or ""))
    if not frame.function:
        has_offset = module and frame.offset is not None
        return f"{module}+{frame.offset:#x}" if has_offset else f"{frame.address:#x}"
    place = []
    if frame.file:
        place.append(show(frame.file) + (f":{frame.line}" if frame.line else ""))
    if module:
        place.append(f"({module})")
    if frame.inlined:
        place.append("(inlined)")
    return gap.join(filter(None, (show(frame.function), " ".join(place))))


def _show(name: str) -> str:
    return printable(cut(name, _LIMIT))


def _numbers(site: Site) -> list[str]:
    mark = "~" if site.recorded else ""
    return [
        str(site.rank),
        mark + format_bytes(site.outstanding_bytes),
        mark + format_count(site.outstanding_count),
        mark + format_count(site.allocated_count),
        mark + format_count(site.freed_count),
        mark + format_bytes(site.bytes_per_s),
        site.verdict.word if site.verdict else "-",
    ]


def describe_caller(site: Site) -> str:
    """Return which caller or group the blocks of a site belong to, in one line."""
    return _prefix(site) + (_show(site.group) if site.group else _name_caller(site))


def _prefix(site: Site) -> str:
    return "" if site.kind == "heap" else f"[{site.kind}] "


def _name_caller(site: Site) -> str:
    if site.caller is None:
        return "(unknown)"
    function = shorten(site.caller.function or "", _FUNCTION_IN_CELL, parameters=False)
    file = basename(site.caller.file or "")
    return describe(replace(site.caller, function=function, file=file), show=_show)


def nothing_outstanding(report: Report) -> str:
    """Return why a report shows no call stack."""
    if not (report.window.allocations or report.sites):
        if report.window.sizes:
            return "No block of the sizes that were recorded was allocated in the window."
        if report.window.inline and report.window.inline.one_of > 1:
            return "None of the blocks that were recorded was allocated in the window."
        return "Nothing was allocated in the window."
    if report.window.sampling:
        return "No call stack has outstanding blocks, of those that were recorded."
    by = "--older or a size limit"
    if report.suppressed and report.suppressed.sites:
        by = "--suppress, --older or a size limit"
    return (
        "No call stack has outstanding blocks: what was allocated in the window was freed in it, "
        f"or is left out by {by}."
    )


def not_shown(report: Report, top: int) -> str:
    """Return how many call stacks come after the first ones, and what they hold."""
    rest = report.leaking[top:]
    size = format_bytes(sum(site.outstanding_bytes for site in rest))
    if any(site.recorded for site in rest):
        size = f"about {size}"
    stacks = count_of(len(rest), "more call stack")
    return f"{stacks} with {size} outstanding"


def stack_lines(site: Site, others: Mapping[int, Site] | None = None) -> Iterator[Line]:
    """Yield a call stack, below a title that says what it holds.

    Args:
        site: Of a report.
        others: The sites of that report by rank, where the reader knows them by it.

    """
    yield Line(f"Stack {site.rank}: {_describe_size(site)}", style="title")
    if site.verdict:
        yield Line(f"  {site.verdict.word}: {site.verdict.evidence}", indent=4)
    for sentence in describe_references(site, others):
        yield Line(f"  {sentence}", indent=4)
    texts = [_describe_in_stack(frame) for frame in site.frames]
    shown = 0
    for cycle in find_cycles(texts):
        yield from _frames(texts, shown, cycle.first_end)
        yield _repeated(cycle, _indent(texts))
        shown = cycle.end
    yield from _frames(texts, shown, len(texts))
    if site.truncated:
        yield Line("  ... deeper frames are unknown (see --stack-bytes, --max-frames)", indent=6)
    elif not site.frames:
        yield Line("  (no frame is known)")
    yield from _blocks(site)


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


def _describe_in_stack(frame: Frame) -> str:
    function = shorten(frame.function or "", _FUNCTION_IN_STACK)
    return describe(replace(frame, function=function), gap="  ", show=_show)


def _frames(texts: Sequence[str], start: int, end: int) -> Iterator[Line]:
    indent = _indent(texts)
    for number in range(start, end):
        yield Line(f"  #{number}".ljust(indent) + texts[number], indent)


def _repeated(cycle: Cycle, indent: int) -> Line:
    what = "" if cycle.length == 1 else f"these {cycle.length} frames "
    last = cycle.end - 1
    return Line(f"{'':{indent}}... {what}{cycle.times:,} times in all, up to #{last}", indent)


def _indent(texts: Sequence[str]) -> int:
    """Return the column of the functions, behind numbers of at least two digits."""
    return max(len(f"  #{len(texts) - 1} "), len("  #10 "))
