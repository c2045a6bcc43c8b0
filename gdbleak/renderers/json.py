"""The whole report for other programs: schema `gdbleak.report/2`, see docs/json-report.md."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from gdbleak.report.model import SCHEMA, Frame, Report, Site


@dataclass(frozen=True)
class JsonRenderer:
    """Writes everything that the report holds, with whole names; in ASCII, so safe to print."""

    def render(self, report: Report) -> str:
        """Return the report as text."""
        record = {
            "schema": SCHEMA,
            "target": asdict(report.target),
            "window": asdict(report.window),
            "memory": asdict(report.memory),
            "verification": asdict(report.verification),
            "sites": [_site(site) for site in report.sites],
            "notes": list(report.notes),
            "history": asdict(report.history),
            "suppressed": report.suppressed and asdict(report.suppressed),
            "outlook": report.outlook and asdict(report.outlook),
            "heap": report.heap and asdict(report.heap),
            "older_ms": report.older_ms,
        }
        return json.dumps(record, indent=2, allow_nan=False) + "\n"


def _site(site: Site) -> dict[str, object]:
    return {
        "rank": site.rank,
        "kind": site.kind,
        "outstanding_bytes": site.outstanding_bytes,
        "outstanding_count": site.outstanding_count,
        "allocated_bytes": site.allocated_bytes,
        "allocated_count": site.allocated_count,
        "freed_count": site.freed_count,
        "bytes_per_s": site.bytes_per_s,
        "outstanding_bytes_low": site.outstanding_bytes_low,
        "outstanding_bytes_high": site.outstanding_bytes_high,
        "recorded": site.recorded and asdict(site.recorded),
        "oldest_s": site.oldest_s,
        "group": site.group,
        "verdict": site.verdict and asdict(site.verdict),
        "history": list(site.history),
        "reach": site.reach and asdict(site.reach),
        "blocks": [{**asdict(block), "address": hex(block.address)} for block in site.blocks],
        "function": site.caller.function if site.caller else None,
        "truncated": site.truncated,
        "frames": [_frame(frame) for frame in site.frames],
    }


def _frame(frame: Frame) -> dict[str, object]:
    return {
        "address": hex(frame.address),
        "module": frame.module,
        "offset": None if frame.offset is None else hex(frame.offset),
        "function": frame.function,
        "file": frame.file,
        "line": frame.line,
        "inlined": frame.inlined,
    }
