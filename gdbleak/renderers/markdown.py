"""The report as GitHub-flavoured Markdown, for tickets and pull requests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gdbleak.renderers.columns import draw_table
from gdbleak.renderers.content import (
    COLUMNS,
    Layout,
    below_table,
    first_screen,
    heading,
    rows,
)
from gdbleak.report.model import Report

_FENCE = re.compile(r"^( *)`")


@dataclass(frozen=True)
class MarkdownRenderer:
    """Writes names of the target as code: none becomes a link, a tag or a mention."""

    layout: Layout

    def render(self, report: Report) -> str:
        """Return the report as text."""
        parts = [f"# {as_code(heading(report).text)}"]
        parts.append(_as_block(line.text for line in first_screen(report, None)))
        shown = report.leaking[: self.layout.top]
        if shown:
            cells = [[*others, as_code(caller)] for *others, caller in rows(shown)]
            parts.append(draw_table(COLUMNS, cells, "pipe"))
        details = [line.text for line in below_table(report, self.layout)]
        if details:
            parts.append(_as_block(details))
        return "\n\n".join(parts) + "\n"


def _as_block(lines: Iterable[str]) -> str:
    """Return a block of text; a line that begins with backticks would end it."""
    text = "\n".join(_FENCE.sub(r"\1\\x60", line) for line in lines)
    return "```text\n" + text.lstrip("\n") + "\n```"


def as_code(text: str) -> str:
    """Return a code span for a cell of a table: a backtick would end the span, a pipe the cell.

    A backslash before a pipe would cancel the one that escapes the pipe, so it is spelled out too.
    """
    return "`" + text.replace("`", r"\x60").replace("\\|", r"\x5c|").replace("|", r"\|") + "`"
