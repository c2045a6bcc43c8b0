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


def _numbers(site: Site) -> list[str]:
    values = site.amounts
    mark = "~" if site.estimate else ""
    return [
        str(site.rank),
        mark + format_bytes(values.outstanding_bytes),
        mark + format_count(values.outstanding_count),
        format_count(site.allocated_count),
        format_count(site.freed_count),
        mark + format_bytes(values.bytes_per_s),
        site.verdict.word if site.verdict else "-",
    ]


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
    size = format_bytes(sum(site.amounts.outstanding_bytes for site in rest))
    if any(site.estimate for site in rest):
        size = f"about {size}"
    stacks = count_of(len(rest), "more call stack")
    return f"{stacks} with {size} outstanding"


