"""Reports of heaps as text. A format is one module here and one line in `HEAP_FORMATS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gdbleak.renderers.heap.csv import as_csv
from gdbleak.renderers.heap.html import as_html
from gdbleak.renderers.heap.json import as_json
from gdbleak.renderers.heap.markdown import as_markdown
from gdbleak.renderers.heap.sections import Layout
from gdbleak.renderers.heap.text import as_text
from gdbleak.report.heap import HeapReport


class HeapFormat(NamedTuple):
    """How to make an output, and the file suffixes that ask for it."""

    make: Callable[[HeapReport, Layout], str]
    suffixes: tuple[str, ...] = ()

    def render(
        self,
        report: HeapReport,
        top: int,
        width: int | None,
        color: bool = False,
        ascii_only: bool = False,
    ) -> str:
        """Return the whole output, with its last newline.

        Args:
            report: What to show.
            top: How many rows a table for people has; formats for programs hold all.
            width: Characters of a line of the terminal; None if lines may have any length.
            color: Whether escape sequences of a terminal may be written.
            ascii_only: Whether a table may have only ASCII; other text formats have no choice.

        """
        return self.make(report, Layout(top, width, color, ascii_only))


HEAP_FORMATS = {
    "table": HeapFormat(as_text),
    "plain": HeapFormat(lambda report, o: as_text(report, Layout(o.top, o.width)), (".txt",)),
    "markdown": HeapFormat(as_markdown, (".md",)),
    "csv": HeapFormat(lambda report, _: as_csv(report), (".csv",)),
    "json": HeapFormat(lambda report, _: as_json(report), (".json", ".heap")),
    "html": HeapFormat(lambda report, _: as_html(report), (".html", ".htm")),
}


def heap_format_for(path: str) -> str | None:
    """Return the format whose suffix a file name has, or None for an unknown one."""
    fitting = (
        name
        for name, form in HEAP_FORMATS.items()
        for suffix in form.suffixes
        if path.lower().endswith(suffix)
    )
    return next(fitting, None)
