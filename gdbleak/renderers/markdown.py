"""The report as GitHub-flavoured Markdown, for tickets and pull requests."""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.renderers.columns import draw_table
from gdbleak.renderers.content import COLUMNS, below_table, heading, rows
from gdbleak.report.model import Report


@dataclass(frozen=True)
class MarkdownRenderer:
    """Writes names of the target as code: none becomes a link, a tag or a mention."""

    top: int

    def render(self, report: Report) -> str:
        """Return the report as text."""
        parts = [f"# {as_code(heading(report).text)}"]
        shown = report.leaking[: self.top]
        if shown:
            cells = [[*others, as_code(caller)] for *others, caller in rows(shown)]
            parts.append(draw_table(COLUMNS, cells, "pipe"))
        # No line below the table begins with a backtick, so none can end the block.
        details = "\n".join(line.text for line in below_table(report, self.top))
        parts.append("```text\n" + details.lstrip("\n") + "\n```")
        return "\n\n".join(parts) + "\n"


def as_code(text: str) -> str:
    """Return a code span for a cell of a table: a backtick would end the span, a pipe the cell.

    A backslash before a pipe would cancel the one that escapes the pipe, so it is spelled out too.
    """
    return "`" + text.replace("`", r"\x60").replace("\\|", r"\x5c|").replace("|", r"\|") + "`"
