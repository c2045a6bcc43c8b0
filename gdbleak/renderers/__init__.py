"""Reports as text. A format is one module here and one line in `FORMATS`.

No renderer opens files or prints; what a renderer can be told stands in its constructor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from gdbleak.errors import UsageError
from gdbleak.renderers.csv import CsvRenderer
from gdbleak.renderers.json import JsonRenderer
from gdbleak.renderers.markdown import MarkdownRenderer
from gdbleak.renderers.plain import PlainRenderer
from gdbleak.renderers.table import TableRenderer
from gdbleak.report import Report


class Renderer(Protocol):
    """What turns a report into text."""

    def render(self, report: Report) -> str:
        """Return the whole output, its last newline included."""
        ...


class Options(NamedTuple):
    """What a user can ask of formats; each takes what it has a use for."""

    top: int
    """How many sites the formats for people show; those for programs hold every one."""
    width: int | None
    """Columns to fit into; None where there is no terminal to fit into."""
    color: bool


class Format(NamedTuple):
    """How to make a renderer, and the file suffixes that ask for it."""

    make: Callable[[Options], Renderer]
    suffixes: tuple[str, ...] = ()


FORMATS = {
    "table": Format(lambda o: TableRenderer(o.top, o.width, o.color)),
    "plain": Format(lambda o: PlainRenderer(o.top, o.width), (".txt",)),
    "markdown": Format(lambda o: MarkdownRenderer(o.top), (".md",)),
    "csv": Format(lambda _: CsvRenderer(), (".csv",)),
    "json": Format(lambda _: JsonRenderer(), (".json",)),
}


def format_for(path: str) -> str | None:
    """Return the format whose suffix a file name has, or None for an unknown one."""
    names = (name for name, form in FORMATS.items() if path.lower().endswith(form.suffixes))
    return next(names, None)


def make_renderer(name: str, *, top: int, width: int | None, color: bool) -> Renderer:
    """Return the renderer of a format.

    Raises UsageError for a name that is not in `FORMATS`.
    """
    if name not in FORMATS:
        raise UsageError(f"no output format is called {name}", f"choose from {', '.join(FORMATS)}")
    return FORMATS[name].make(Options(top, width, color))
