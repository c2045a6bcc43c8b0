"""What the formats for people show, as plain strings; each format only lays them out.

Everything that comes from the target leaves here shortened and escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gdbleak.renderers.alarms import NOTES
from gdbleak.renderers.columns import numbers, words
from gdbleak.renderers.first_screen import closing, lay_out, make_first_screen
from gdbleak.renderers.frames import NAME_LIMIT, describe_callers
from gdbleak.renderers.headline import describe_pid
from gdbleak.renderers.stack_lines import HINT, stack_lines
from gdbleak.renderers.summary import LABEL_WIDTH, describe_suppressed, summary
from gdbleak.report.model import Report, Site
from gdbleak.text.lines import Line, cut, printable
from gdbleak.text.units import count_of, format_bytes, format_count, format_seconds, plural
from gdbleak.verdicts.strength import SUSPECTED

COLUMNS = (
    *numbers("#", "Bytes", "Blocks", "Allocs", "Freed", "Bytes/s"),
    *words("Verdict", "Caller"),
)
"""Columns of the table of sites."""

Encode = Callable[[str], str]
"""Makes a text what an output can show."""

_SAID_ABOVE = "recorded inline: "
"""How a note begins that the first screen has in its sentence on the watch."""


class Layout(NamedTuple):
    """How much of a report is shown."""

    top: int
    """How many sites."""
    internals: bool = False
    """Whether frames inside of libraries are shown one by one."""
    verbose: bool = False
    """Whether every stack is shown, and everything about the window."""


def heading(report: Report) -> Line:
    """Return the line that says what was watched, and for how long."""
    target = report.target
    command = cut(" ".join(target.command.split()), NAME_LIMIT)  # some pad their titles
    allocator = cut(target.allocator, NAME_LIMIT)
    duration = format_seconds(report.window.duration_s)
    text = f"{command} ({describe_pid(report)}), {allocator}, watched for {duration}"
    return Line(printable(text), style="title")


def rows(sites: Sequence[Site]) -> list[list[str]]:
    """Return the rows of the table of sites, one cell for each of `COLUMNS`."""
    return [[*_numbers(site), caller] for site, caller in zip(sites, describe_callers(sites))]


def first_screen(report: Report, width: int | None, encode: Encode = str) -> Iterator[Line]:
    """Yield the lines above the table; each of them fits into the width."""
    return lay_out(make_first_screen(report), width, encode)


def below_table(report: Report, layout: Layout) -> Iterator[Line]:
    """Yield everything below the table: what it leaves out, stacks, notes, what is left to do."""
    between = [*_details(report, layout)]
    yield from between
    if report.leaking or between:  # else the first screen stands right above
        yield from closing(make_first_screen(report))


def _details(report: Report, layout: Layout) -> Iterator[Line]:
    shown = report.leaking[: layout.top]
    if report.leaking[layout.top :]:
        yield Line(f"{not_shown(report, layout.top)}: see --top {len(report.leaking)}")
    young = describe_young(report, shown)
    if young:
        yield Line(young)
    others = {site.rank: site for site in report.sites}
    with_stack = [site for site in shown if layout.verbose or _deserves_stack(site)]
    for site in with_stack:
        yield Line("")
        yield from stack_lines(site, others, layout.internals, HINT)
    rest = len(shown) - len(with_stack)
    if rest:
        yield Line("")
        stacks = plural(rest, "stack")
        yield Line(f"--verbose shows the call {stacks} of {_the_others(rest, shown)}.")
    if layout.verbose:
        yield Line("")
        yield Line(f"{'process:':{LABEL_WIDTH}}{heading(report).text}", LABEL_WIDTH)
        yield from summary(report)
    else:
        suppressed = describe_suppressed(report.suppressed)
        if suppressed:
            yield Line("")
            yield Line(f"Left out: {suppressed}", 2)
        notes = [note for note in report.notes if not note.startswith((*NOTES, _SAID_ABOVE))]
        if notes:
            yield Line("")
        yield from (Line(f"Note: {printable(note)}", 2) for note in notes)


def _deserves_stack(site: Site) -> bool:
    return site.verdict is None or site.verdict.word in SUSPECTED


def _the_others(rest: int, shown: Sequence[Site]) -> str:
    others = "" if rest == len(shown) else "other "
    return f"the {others}row" if rest == 1 else f"the {rest:,} {others}rows"


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


def not_shown(report: Report, top: int) -> str:
    """Return how many call stacks come after the first ones, and what they hold."""
    rest = report.leaking[top:]
    size = format_bytes(sum(site.outstanding_bytes for site in rest))
    if any(site.recorded for site in rest):
        size = f"about {size}"
    stacks = count_of(len(rest), "more call stack")
    return f"{stacks} with {size} outstanding"


def describe_young(report: Report, shown: Sequence[Site]) -> str | None:
    """Return why rows have blocks that are neither freed nor outstanding; None if none has."""
    if not report.older_ms or not any(map(_has_young, shown)):
        return None
    age = format_seconds(report.older_ms / 1000)
    return f"Blocks younger than {age} at the end do not count (--older)."


def _has_young(site: Site) -> bool:
    alive = site.allocated_count - site.freed_count
    return site.recorded is None and alive > site.outstanding_count
