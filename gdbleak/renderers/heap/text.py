"""A report of a heap as text, for terminals, pipes and mails."""

from __future__ import annotations

from collections.abc import Iterator

from gdbleak.renderers.columns import draw_columns, fold_last
from gdbleak.renderers.heap.content import below, finding_lines, sections
from gdbleak.renderers.heap.sections import Layout, Section, heading, sum_up
from gdbleak.report.heap import HeapReport
from gdbleak.report.heap_findings import find_facts
from gdbleak.text.lines import Line

_STYLES = {"plain": "", "title": "\x1b[1m", "alarm": "\x1b[1;31m"}
_END = "\x1b[0m"


def as_text(report: HeapReport, layout: Layout) -> str:
    """Return what matters about a heap, and tables of what that comes from."""
    lines = [*_above(report, layout)]
    for section in sections(report, layout):
        lines += ["", *_draw(section, layout)]
    lines += ["", *(_lay_out(line, layout) for line in below(report))]
    text = "".join(f"{line.rstrip()}\n" for part in lines for line in part.split("\n"))
    return text.encode("ascii", "backslashreplace").decode() if layout.ascii_only else text


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
        rows = [list(map(_plain, row) if layout.ascii_only else row) for row in section.rows]
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
