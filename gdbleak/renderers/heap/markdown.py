"""A report of a heap as GitHub-flavoured Markdown, for tickets and pull requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gdbleak.renderers.columns import draw_table
from gdbleak.renderers.heap.content import below, finding_lines, sections
from gdbleak.renderers.heap.sections import Layout, Section, heading, sum_up
from gdbleak.renderers.markdown import as_code
from gdbleak.report.heap import HeapReport
from gdbleak.report.heap_findings import find_facts


def as_markdown(report: HeapReport, layout: Layout) -> str:
    """Return what matters about a heap, and its tables.

    Names of the process are written as code: none becomes a link, a tag or a mention.
    """
    facts = ", ".join(" ".join(fact) for fact in sum_up(report))
    lines = [line.text for line in finding_lines(find_facts(report))]
    parts = [f"# {as_code(heading(report))}", _block([facts, "", *lines] if facts else lines)]
    whole = Layout(layout.top, ascii_only=False)
    for section in sections(report, whole):
        parts += _draw(section)
    parts.append(_block([line.text for line in below(report)]))
    return "\n\n".join(parts) + "\n"


def _draw(section: Section) -> Iterator[str]:
    is_plain = section.title.replace(" ", "").isalnum()  # an allocator has a name of its own
    yield f"## {section.title if is_plain else as_code(section.title)}"
    if section.rows:
        rows = section.rows
        if section.names:
            rows = [[*others, as_code(last) if last else ""] for *others, last in rows]
        yield draw_table(section.columns, rows, "pipe")
    if section.below:
        yield _block(section.below)


def _block(lines: Iterable[str]) -> str:
    """Return a block of lines, of which none begins with a backtick, which could end it."""
    shown = "\n".join(f" {line}" if line.startswith("`") else line for line in lines)
    return f"```text\n{shown}\n```"
