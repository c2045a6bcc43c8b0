"""What `gdbleak suspects` shows: text for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from gdbleak.renderers.columns import NARROWEST, draw_columns, numbers, room_for_last, words
from gdbleak.report.lineup import Lineup, Suspect
from gdbleak.report.trend import ENOUGH
from gdbleak.text.lines import cut, fold, printable
from gdbleak.text.sparkline import ASCII_BARS, BARS, draw_bars
from gdbleak.text.units import count_of, format_bytes, format_seconds

SCHEMA = "gdbleak.suspects/1"

_BAR_COUNT = 12
_COLUMNS = (
    *numbers("#", "PID", "Private", "Per hour", "Steady", "Age"),
    *words("Trend", "Command"),
)
_LONGEST = 120
"""How many characters of a command line are shown: it may be long, and hold secrets."""
_SHORTEST = 12
"""How many of them are shown however narrow the terminal is."""
_SOON_S = 90 * 86400.0
"""Limits that are reached later than this are not mentioned."""


def as_json(lineup: Lineup) -> str:
    """Return everything, as one JSON object."""
    record = asdict(lineup)
    for suspect, made in zip(lineup.suspects, record["suspects"]):
        made.update(
            grows=suspect.grows,
            bytes_per_s=suspect.trend.slope,
            steadiness=suspect.trend.steadiness,
            reached_in_s=suspect.reached_in_s,
            runtime=suspect.runtime and suspect.runtime.name,
        )
        del made["trend"]
    return json.dumps({"schema": SCHEMA, **record}, indent=2) + "\n"


def as_text(lineup: Lineup, top: int, width: int | None, ascii_only: bool) -> str:
    """Return a table, and sentences about what it shows.

    Args:
        lineup: What was found.
        top: How many processes to list.
        width: Characters of a line of the terminal; None if lines may have any length.
        ascii_only: Whether to write only ASCII.

    """
    shown = lineup.suspects[:top]
    lines = [_table(shown, width, ascii_only), ""] if shown else []
    said = _say(lineup, top)
    lines += (fold(line, max(width, NARROWEST), 2) for line in said) if width else said
    text = "\n".join(lines) + "\n"
    return text.encode("ascii", "backslashreplace").decode() if ascii_only else text


def _table(suspects: Sequence[Suspect], width: int | None, ascii_only: bool) -> str:
    rows = []
    for rank, suspect in enumerate(suspects, start=1):
        rows.append(
            [
                str(rank),
                str(suspect.pid),
                format_bytes(suspect.private_bytes),
                f"+{format_bytes(suspect.trend.slope * 3600)}",
                f"{100 * suspect.trend.steadiness:.0f} %",
                format_seconds(suspect.age_s),
                draw_bars(suspect.history, _BAR_COUNT, bars=ASCII_BARS if ascii_only else BARS),
                printable(cut(suspect.command, _LONGEST)),
            ]
        )
    if width:
        room = max(room_for_last(_COLUMNS, rows, max(width, NARROWEST)), _SHORTEST)
        rows = [[*cells, cut(command, room)] for *cells, command in rows]
    return draw_columns(_COLUMNS, rows)


def _say(lineup: Lineup, top: int) -> Iterator[str]:
    growing = [suspect for suspect in lineup.suspects if suspect.grows]
    for rank, suspect in enumerate(lineup.suspects[:top], start=1):
        yield from _describe(rank, suspect)
    if len(lineup.suspects) > top:
        yield f"{len(lineup.suspects) - top:,} more grow: see --top {len(lineup.suspects)}"
    if lineup.looks < ENOUGH:
        looks = count_of(lineup.looks, "look")
        yield f"Only {looks}: too few to say how steadily anything grows. Look longer."
    elif not growing:
        yield "No process grows steadily. A slow leak needs longer: try --duration 600."
    yield from lineup.kernel
    yield (
        f"{lineup.processes:,} processes were looked at {count_of(lineup.looks, 'time')}, none was"
        f" attached to; {lineup.ended:,} came or went meanwhile, {lineup.unreadable:,} could not be"
        " read."
    )
    if growing:
        yield f"Next: gdbleak trace {growing[0].pid}"


def _describe(rank: int, suspect: Suspect) -> Iterator[str]:
    if not suspect.grows:
        return
    if suspect.limit and suspect.reached_in_s is not None and suspect.reached_in_s < _SOON_S:
        yield (
            f"#{rank} reaches the {format_bytes(suspect.limit.limit_bytes)} of its"
            f" {suspect.limit.of} in about {format_seconds(suspect.reached_in_s)}, at this rate"
        )
    if suspect.container:
        yield f"#{rank} runs in the container {printable(suspect.container)}"
    if suspect.runtime:
        yield f"#{rank} is {suspect.runtime.name}: gdbleak sees {suspect.runtime.seen}"
