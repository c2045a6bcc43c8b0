"""A report of a heap as text, for terminals, pipes and mails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gdbleak.renderers.columns import draw_columns, fold_last
from gdbleak.renderers.heap.memory import (
    allocator_sections,
    kind_section,
    lost_sections,
    mapping_section,
)
from gdbleak.renderers.heap.sections import (
    Layout,
    Section,
    arena_section,
    heading,
    size_section,
    sum_up,
)
from gdbleak.report.heap import HeapReport
from gdbleak.report.heap_findings import Finding, find_facts
from gdbleak.text.lines import Line, printable
from gdbleak.text.units import count_of, format_bytes, format_percent, format_seconds

_STYLES = {"plain": "", "title": "\x1b[1m", "alarm": "\x1b[1;31m"}
_END = "\x1b[0m"


def as_text(
    report: HeapReport,
    top: int,
    width: int | None = None,
    color: bool = False,
    ascii_only: bool = True,
) -> str:
    """Return the findings, and tables of what they come from.

    Args:
        report: What was found.
        top: How many rows a table has at most.
        width: Characters of a line of the terminal; None if lines may have any length.
        color: Whether escape sequences of a terminal may be written.
        ascii_only: Whether to write only ASCII.

    """
    layout = Layout(top, width, color, ascii_only)
    lines = [*_above(report, layout)]
    for section in sections(report, layout):
        lines += ["", *_draw(section, layout)]
    lines += ["", *(_lay_out(line, layout) for line in below(report))]
    text = "".join(f"{line.rstrip()}\n" for part in lines for line in part.split("\n"))
    return text.encode("ascii", "backslashreplace").decode() if ascii_only else text


def sections(report: HeapReport, layout: Layout) -> Iterator[Section]:
    """Yield all tables there are for a report, the most important first."""
    if report.sizes:
        yield size_section(report.sizes, report.in_use, layout)
    if report.arenas:
        yield arena_section(report.arenas, layout)
    if report.mappings:
        yield kind_section(report.mappings)
        yield mapping_section(report.mappings, layout)
    yield from allocator_sections(report.allocators, layout)
    if report.lost:
        yield from lost_sections(report.lost, layout)


def below(report: HeapReport) -> Iterator[Line]:
    """Yield how the census was taken, and the notes."""
    for sentence in describe_taking(report):
        yield Line(sentence)
    for note in report.notes:
        yield Line(f"note: {printable(note)}", indent=6)


def describe_taking(report: HeapReport) -> Iterator[str]:
    """Yield how the census was taken, and how far it can be trusted."""
    taking = report.taking
    took = f"{format_seconds(taking.took_s)}, {format_bytes(taking.read_bytes)} read"
    at = printable(report.taken_at)
    if report.core:
        yield f"Taken from a core file of {at}: {took}."
    elif taking.pause_ms is None:
        yield f"Taken at {at}: {took}; the process was neither attached to nor stopped."
    else:
        paused = format_seconds(taking.pause_ms / 1000)
        yield f"Taken at {at}: {took}; the process was stopped for {paused}."
    if taking.censuses > 1:
        yield f"{taking.censuses:,} censuses, one every {format_seconds(taking.interval_s)}."
    yield from _doubts(report)


def _doubts(report: HeapReport) -> Iterator[str]:
    unsettled = report.taking.unsettled
    if unsettled.count:
        share = format_percent(unsettled.count, report.in_use.count)
        yield (
            f"{count_of(unsettled.count, 'block')} ({share}) changed whenever they were looked at:"
            " they count as they were seen last."
        )
    if report.taking.unclear_bytes:
        unclear = format_bytes(report.taking.unclear_bytes)
        yield f"In {unclear} of the heap no blocks could be made out."


def finding_lines(findings: Iterable[Finding]) -> Iterator[Line]:
    """Yield what matters, and what to type next."""
    for finding in findings:
        yield Line(finding.text, indent=2, style="alarm" if finding.is_alarm else "plain")
        if finding.command:
            yield Line(f"  Next: {finding.command}", indent=4)


def _above(report: HeapReport, layout: Layout) -> Iterator[str]:
    yield _lay_out(Line(heading(report), style="title"), layout)
    facts = ", ".join(" ".join(fact) for fact in sum_up(report))
    if facts:
        yield _lay_out(Line(facts, indent=2), layout)
    yield ""
    for line in finding_lines(find_facts(report)):
        yield _lay_out(line, layout)


def _draw(section: Section, layout: Layout) -> Iterator[str]:
    yield _lay_out(Line(section.title, style="title"), layout)
    if section.rows:
        rows = [list(map(_plain, row)) if layout.ascii_only else row for row in section.rows]
        if section.names and layout.room:
            rows = fold_last(section.columns, rows, layout.room)
        yield draw_columns(section.columns, rows)
    for sentence in section.below:
        yield _lay_out(Line(sentence, indent=2), layout)


def _lay_out(line: Line, layout: Layout) -> str:
    text = _plain(line.text) if layout.ascii_only else line.text
    text = line._replace(text=text).fold(layout.room) if layout.room else text
    style = _STYLES[line.style] if layout.color else ""
    if not style:
        return text
    return "\n".join(f"{style}{part}{_END}" for part in text.split("\n"))


def _plain(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
