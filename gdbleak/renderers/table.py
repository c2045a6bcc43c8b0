"""The report for a terminal, laid out and coloured by rich."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gdbleak.renderers.columns import NARROWEST, fold_last
from gdbleak.renderers.content import COLUMNS, Layout, below_table, first_screen, rows
from gdbleak.report.model import Report
from gdbleak.text.lines import Line

_STYLES = {"plain": "", "title": "bold", "alarm": "bold red"}


@dataclass(frozen=True)
class TableRenderer:
    """Lays the report out for a terminal; writes escape sequences only if it may use colour."""

    layout: Layout
    width: int | None = None
    color: bool = False

    def render(self, report: Report) -> str:
        """Return the report as text."""
        width = max(self.width or 0, NARROWEST)
        text = StringIO()
        console = Console(
            file=text,
            width=width,
            height=1,  # unused, but rich asks the environment for the size unless it has both
            force_terminal=self.color,
            color_system="standard" if self.color else None,
            no_color=not self.color,
            legacy_windows=False,
        )

        def say(line: Line) -> None:
            # A Text is never read as markup: the brackets of `operator new[]` stay.
            console.print(Text(line.fold(width), _STYLES[line.style]), soft_wrap=True)

        for line in first_screen(report, width):
            say(line)
        shown = report.leaking[: self.layout.top]
        if shown:
            console.print()
            console.print(_table(fold_last(COLUMNS, rows(shown), width)))
        for line in below_table(report, self.layout):
            say(line)
        return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _table(rows: Iterable[Iterable[str]]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
    )
    *others, last = COLUMNS
    for column in others:
        table.add_column(column.header, justify=column.align, no_wrap=True)
    table.add_column(last.header, overflow="fold")
    for cells in rows:
        table.add_row(*map(Text, cells))
    return table
