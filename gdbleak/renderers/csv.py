"""A row for each call stack, for spreadsheets and scripts; documented in docs/json-report.md."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from io import StringIO

from gdbleak.renderers.frames import describe
from gdbleak.report.model import Frame, Recorded, Report, Site
from gdbleak.text.lines import printable

RECORDED = {f"recorded_{field.name}": field.name for field in fields(Recorded)}
"""The columns of what estimates are made from, each with its field."""

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
    "outstanding_bytes_low",
    "outstanding_bytes_high",
    "oldest_s",
    "verdict",
    "evidence",
    *RECORDED,
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
        site.outstanding_bytes_low,
        site.outstanding_bytes_high,
        site.oldest_s,
        *((site.verdict.word, site.verdict.evidence) if site.verdict else (None, None)),
        *(site.recorded and getattr(site.recorded, name) for name in RECORDED.values()),
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


def safe_cell(text: str | None) -> str:
    """Return a name that no spreadsheet takes for a formula, and no terminal for a command."""
    text = printable(text or "")
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
