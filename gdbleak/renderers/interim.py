"""Only the table of a report, for a window that is still open."""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.renderers.content import Layout
from gdbleak.renderers.plain import PlainRenderer
from gdbleak.report.model import Report
from gdbleak.text.units import count_of, format_bytes, format_seconds


@dataclass(frozen=True)
class InterimRenderer:
    """Writes what is outstanding so far, as plain text; stacks come with the final report."""

    top: int
    width: int | None = None

    def render(self, report: Report) -> str:
        """Return the report as text."""
        window, leaking = report.window, report.leaking
        size = sum(site.outstanding_bytes for site in leaking)
        mark = "about " if window.sampling else ""
        lines = [
            f"{format_seconds(window.duration_s)}: {mark}{format_bytes(size)} in"
            f" {count_of(len(leaking), 'call stack')};"
            f" {count_of(window.events, 'event')}, stopped {format_seconds(window.stopped_s or 0)}",
            "",
        ]
        if leaking:
            lines += [PlainRenderer(Layout(self.top), self.width).table(leaking[: self.top]), ""]
        return "\n".join(lines) + "\n"
