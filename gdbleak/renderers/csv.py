"""A row for each call stack, for spreadsheets and scripts; documented in docs/json-report.md."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO

from gdbleak.renderers.frames import describe
from gdbleak.report.model import Frame, Report, Site
from gdbleak.text.lines import printable

COLUMNS = (
    "rank",
    "kind",
    "group",
    "outstanding_bytes",
    "outstanding_count",
    "allocated_bytes",
    "allocated_count",
    "freed_count",
    "bytes_per_s",
    "oldest_s",
    "verdict",
    "evidence",
    "estimated_bytes",
    "estimated_bytes_low",
    "estimated_bytes_high",
    "function",
    "file",
    "line",
    "module",
    "truncated",
    "stack",
    "looked_at",
    "lost",
    "lost_with",
    "held",
    "held_by",
)


@dataclass(frozen=True)
class CsvRenderer:
    """Writes every site of the report, with whole names."""

    def render(self, report: Report) -> str:
        """Return the report as text."""
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(map(_row, report.sites))
        return text.getvalue()


def _row(site: Site) -> list[object]:
    caller = site.caller or Frame(address=0)
    return [
        site.rank,
        site.kind,
        safe_cell(site.group),
        site.outstanding_bytes,
        site.outstanding_count,
        site.allocated_bytes,
        site.allocated_count,
        site.freed_count,
        site.bytes_per_s,
        site.oldest_s,
        *((site.verdict.word, site.verdict.evidence) if site.verdict else (None, None)),
        *_estimate(site),
        safe_cell(caller.function),
        safe_cell(caller.file),
        caller.line,
        safe_cell(caller.module),
        str(site.truncated).lower(),
        safe_cell(" <- ".join(map(describe, site.frames))),
        *_reach(site),
    ]


def _reach(site: Site) -> tuple[int | str | None, ...]:
    reach = site.reach
    if reach is None:
        return (None,) * 5
    held_by = safe_cell(reach.holders[0].root) if reach.holders else None
    return (reach.looked_at, reach.lost, reach.lost_with, reach.held, held_by)


def _estimate(site: Site) -> tuple[int | None, ...]:
    estimate = site.estimate
    if estimate is None:
        return (None,) * 3
    low, high = estimate.outstanding_bytes_low, estimate.outstanding_bytes_high
    return (estimate.outstanding_bytes, low, high)


def safe_cell(text: str | None) -> str:
    """Return a name that no spreadsheet takes for a formula, and no terminal for a command."""
    text = printable(text or "")
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
