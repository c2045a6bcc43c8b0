"""What `gdbleak diff` shows: text for people, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from gdbleak.renderers.columns import NARROWEST, draw_columns, fold_last, numbers, words
from gdbleak.renderers.content import heading
from gdbleak.renderers.frames import describe_caller
from gdbleak.renderers.stack_lines import stack_lines
from gdbleak.report.comparison import Change, Comparison, Difference
from gdbleak.text.lines import fold
from gdbleak.text.units import format_bytes

SCHEMA = "gdbleak.diff/1"

_COLUMNS = (
    *numbers("#"),
    *words(""),
    *numbers("Before", "After", "Change"),
    *words("Verdict", "Caller"),
)


def as_json(comparison: Comparison) -> str:
    """Return everything, as one JSON object."""
    record = {
        "schema": SCHEMA,
        "before": _about(comparison, 0),
        "after": _about(comparison, 1),
        "notes": comparison.notes,
        "differences": [
            {
                "change": difference.change.value,
                "bytes_per_s": difference.bytes_per_s,
                "before": asdict(difference.before),
                "after": asdict(difference.after),
                "caller": describe_caller(difference.site),
                "stack": [frame.function or hex(frame.address) for frame in difference.site.frames],
            }
            for difference in comparison.differences
        ],
    }
    return json.dumps(record, indent=2) + "\n"


def as_text(comparison: Comparison, top: int, width: int | None) -> str:
    """Return a table of what has changed, notes, and the stacks of what is new or faster.

    Args:
        comparison: What to show.
        top: How many call stacks to list.
        width: Characters of a line of the terminal; None if lines may have any length.

    """
    room = max(width, NARROWEST) if width else None
    lines = [fold(line, room, 8) if room else line for line in _say(comparison, top, room)]
    text = "\n".join(lines) + "\n"
    return text if width else text.encode("ascii", "backslashreplace").decode()


def _say(comparison: Comparison, top: int, width: int | None) -> Iterator[str]:
    yield f"before: {heading(comparison.before).text}"
    yield f"after:  {heading(comparison.after).text}"
    yield ""
    shown = comparison.differences[:top]
    if shown:
        yield from _table(shown, width).split("\n")
        yield ""
    counts = Counter(difference.change for difference in comparison.differences)
    yield ", ".join(f"{counts[change]:,} {change.value}" for change in Change)
    if comparison.differences[top:]:
        yield f"{len(comparison.differences) - top:,} are not shown: see --top"
    for note in comparison.notes:
        yield f"note: {note}"
    for number, difference in enumerate(shown, start=1):
        if difference.change in (Change.NEW, Change.FASTER):
            yield ""
            site = replace(difference.site, rank=number)
            yield from (line.text for line in stack_lines(site))


def _table(differences: Sequence[Difference], width: int | None) -> str:
    rows = [
        [
            str(number),
            difference.change.value,
            _rate(difference.before.bytes_per_s),
            _rate(difference.after.bytes_per_s),
            f"{'+' if difference.bytes_per_s >= 0 else '-'}"
            f"{format_bytes(abs(difference.bytes_per_s))}/s",
            difference.after.word or difference.before.word or "-",
            describe_caller(difference.site),
        ]
        for number, difference in enumerate(differences, start=1)
    ]
    if width:
        rows = fold_last(_COLUMNS, rows, width)
    return draw_columns(_COLUMNS, rows)


def _rate(bytes_per_s: float) -> str:
    return f"{format_bytes(bytes_per_s)}/s" if bytes_per_s else "-"


def _about(comparison: Comparison, number: int) -> dict[str, object]:
    report = (comparison.before, comparison.after)[number]
    return {
        "command": report.target.command,
        "pid": report.target.pid,
        "started": report.window.started,
        "duration_s": report.window.duration_s,
    }
