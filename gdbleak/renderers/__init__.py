"""Reports as text or bytes. A format is one module here and one line in `FORMATS`.

A renderer neither opens files nor prints; its options are the arguments of its constructor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from gdbleak.errors import UsageError
from gdbleak.renderers.content import Layout
from gdbleak.renderers.csv import CsvRenderer
from gdbleak.renderers.folded import FoldedRenderer
from gdbleak.renderers.html import HtmlRenderer
from gdbleak.renderers.json import JsonRenderer
from gdbleak.renderers.markdown import MarkdownRenderer
from gdbleak.renderers.plain import PlainRenderer
from gdbleak.renderers.pprof import PprofRenderer
from gdbleak.renderers.speedscope import SpeedscopeRenderer
from gdbleak.renderers.table import TableRenderer
from gdbleak.report.model import Report


class Renderer(Protocol):
    """Turns a report into text."""

    def render(self, report: Report) -> str:
        """Return the whole output, with its last newline."""
        ...


class BinaryRenderer(Protocol):
    """Turns a report into a file that is not text."""

    def render(self, report: Report) -> bytes:
        """Return the whole file."""
        ...


class Options(NamedTuple):
    """What a user can ask of formats; each uses what applies to it."""

    top: int
    """How many sites the formats for people show; those for programs hold all."""
    width: int | None
    """Characters of a line of the terminal; None if lines may have any length."""
    color: bool
    internals: bool = False
    """Whether formats for people show frames inside of libraries one by one."""
    verbose: bool = False
    """Whether texts show every stack, and everything about the window."""

    @property
    def layout(self) -> Layout:
        """How much of a report texts show."""
        return Layout(self.top, self.internals, self.verbose)


class Format(NamedTuple):
    """How to make a renderer, and the file suffixes that ask for it."""

    make: Callable[[Options], Renderer | BinaryRenderer]
    suffixes: tuple[str, ...] = ()


FORMATS = {
    "table": Format(lambda o: TableRenderer(o.layout, o.width, o.color)),
    "plain": Format(lambda o: PlainRenderer(o.layout, o.width), (".txt",)),
    "markdown": Format(lambda o: MarkdownRenderer(o.layout), (".md",)),
    "csv": Format(lambda _: CsvRenderer(), (".csv",)),
    "json": Format(lambda _: JsonRenderer(), (".json",)),
    "html": Format(lambda o: HtmlRenderer(o.internals), (".html", ".htm")),
    "folded": Format(lambda _: FoldedRenderer(), (".folded",)),
    "speedscope": Format(lambda _: SpeedscopeRenderer(), (".speedscope.json",)),
    "pprof": Format(lambda _: PprofRenderer(), (".pb.gz", ".pprof")),
}


def format_for(path: str) -> str | None:
    """Return the format whose suffix a file name has, or None for an unknown one."""
    fitting = (
        (len(suffix), name)
        for name, form in FORMATS.items()
        for suffix in form.suffixes
        if path.lower().endswith(suffix)
    )
    return max(fitting, default=(0, None))[1]


def make_renderer(
    name: str,
    *,
    top: int,
    width: int | None,
    color: bool,
    internals: bool = False,
    verbose: bool = False,
) -> Renderer | BinaryRenderer:
    """Return the renderer of a format.

    Raises UsageError for a name that is not in `FORMATS`.
    """
    if name not in FORMATS:
        raise UsageError(f"no output format is called {name}", f"choose from {', '.join(FORMATS)}")
    return FORMATS[name].make(Options(top, width, color, internals, verbose))
