"""Reports of heaps as text. A format is one line in `HEAP_FORMATS`."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from gdbleak.renderers.heap.json import as_json
from gdbleak.renderers.heap.text import as_text
from gdbleak.report.heap import HeapReport


class Render(Protocol):
    """Turns a report into text."""

    def __call__(self, report: HeapReport, top: int, width: int | None, color: bool = False) -> str:
        """Return the whole output, with its last newline.

        Args:
            report: What to show.
            top: How many rows a table has; formats for programs hold all.
            width: Characters of a line of the terminal; None if lines may have any length.
            color: Whether escape sequences of a terminal may be written.

        """
        ...


class HeapFormat(NamedTuple):
    """How to make an output, and the file suffixes that ask for it."""

    render: Render
    suffixes: tuple[str, ...] = ()


def _table(report: HeapReport, top: int, width: int | None, color: bool = False) -> str:
    return as_text(report, top, width, color, ascii_only=False)


def _plain(report: HeapReport, top: int, width: int | None, color: bool = False) -> str:
    return as_text(report, top, width)


def _json(report: HeapReport, top: int, width: int | None, color: bool = False) -> str:
    return as_json(report)


HEAP_FORMATS = {
    "table": HeapFormat(_table),
    "plain": HeapFormat(_plain, (".txt",)),
    "json": HeapFormat(_json, (".json", ".heap")),
}


def heap_format_for(path: str) -> str | None:
    """Return the format whose suffix a file name has, or None for an unknown one."""
    for name, form in HEAP_FORMATS.items():
        if path.lower().endswith(form.suffixes or ("\0",)):
            return name
    return None
