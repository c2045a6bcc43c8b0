"""The report as ASCII text, for pipes, files and mails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gdbleak.renderers.columns import draw_columns, fold_last
from gdbleak.renderers.content import COLUMNS, Layout, below_table, first_screen, rows
from gdbleak.report.model import Report, Site
from gdbleak.text.lines import Line, fold


@dataclass(frozen=True)
class PlainRenderer:
    """Lays the report out for a width in characters; without one, lines stay whole for grep."""

    layout: Layout
    width: int | None = None

    def render(self, report: Report) -> str:
        """Return the report as text."""
        shown = report.leaking[: self.layout.top]
        lines = [line.text for line in first_screen(report, self.width, _ascii)]
        if shown:
            lines += ["", self.table(shown)]
        lines.extend(map(self._fold, below_table(report, self.layout)))
        return "\n".join(lines) + "\n"

    def table(self, sites: Sequence[Site]) -> str:
        """Return the table of sites, without a newline at its end."""
        cells = [list(map(_ascii, row)) for row in rows(sites)]
        if self.width:
            cells = fold_last(COLUMNS, cells, self.width)
        return draw_columns(COLUMNS, cells)

    def _fold(self, line: Line) -> str:
        text = _ascii(line.text)
        return fold(text, self.width, line.indent) if self.width else text


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii")
