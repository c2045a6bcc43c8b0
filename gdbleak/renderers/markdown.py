"""The report as GitHub-flavoured Markdown, for tickets and pull requests."""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.renderers.columns import draw_table
from gdbleak.renderers.content import COLUMNS, below_table, heading, rows
from gdbleak.report.model import Report


@dataclass(frozen=True)
class MarkdownRenderer:
    """Puts all that comes from the target into code: no name becomes a link, a tag or a mention."""

    top: int

    def render(self, report: Report) -> str:
        """Return the report as text."""
        parts = [f"# {_code(heading(report).text)}"]
        shown = report.leaking[: self.top]
        if shown:
            cells = [[*others, _code(caller)] for *others, caller in rows(shown)]
            parts.append(draw_table(COLUMNS, cells, "pipe"))
        # No line below the table begins with a backtick, so none can end the block.
        details = "\n".join(line.text for line in below_table(report, self.top))
        parts.append("```text\n" + details.lstrip("\n") + "\n```")
        return "\n\n".join(parts) + "\n"


def _code(text: str) -> str:
    """Return a code span that can stand in a table: a backtick would end it, a pipe the cell.

    A backslash before a pipe would undo the pipe's own, so it is spelled out too.
    """
    return "`" + text.replace("`", r"\x60").replace("\\|", r"\x5c|").replace("|", r"\|") + "`"
