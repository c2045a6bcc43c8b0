"""What is shown behind the reports of several processes: which of them leak, and where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gdbleak.renderers.columns import NARROWEST, Column, draw_columns, fold_last, numbers, words
from gdbleak.renderers.frames import describe_caller
from gdbleak.report.several import Place, Traced, find_places
from gdbleak.text.lines import fold, printable
from gdbleak.text.units import count_of, format_bytes, format_count

_PROCESSES = (
    *numbers("PID", "Stacks", "Bytes/s"),
    *words("Verdict", "Fastest, or problem"),
)
_PLACES = (*numbers("Processes", "Bytes/s"), *words("Verdict", "Caller"))
_NOTHING = "-"


def as_text(processes: Sequence[Traced], asked: int, top: int, width: int | None) -> str:
    """Return a table of the processes, one of the places where they leak, and what that means.

    Args:
        processes: Those whose turn has come.
        asked: How many were to be traced.
        top: How many places to list.
        width: Characters of a line of the terminal; None if lines may have any length.

    """
    room = max(width, NARROWEST) if width else None
    places = find_places(processes)
    lines = [_draw(_PROCESSES, [_row(each) for each in processes], room), ""]
    if places:
        rows = [_describe_place(place, processes) for place in places[:top]]
        lines += [_draw(_PLACES, rows, room), ""]
    said = _say(processes, places, asked, top)
    lines += (fold(line, room, 2) if room else line for line in said)
    return "\n".join(lines) + "\n"


def _draw(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> str:
    return draw_columns(columns, fold_last(columns, rows, width) if width else rows)


def _row(process: Traced) -> list[str]:
    leaks = process.leaks
    if process.report is None:
        return [str(process.pid), *[_NOTHING] * 3, printable(process.problem)]
    fastest = max(leaks, key=lambda site: site.bytes_per_s, default=None)
    told = describe_caller(fastest) if fastest else _NOTHING
    return [
        str(process.pid),
        format_count(len(leaks)),
        format_bytes(process.bytes_per_s) if leaks else _NOTHING,
        process.word or _NOTHING,
        printable(process.problem) or told,
    ]


def _describe_place(place: Place, processes: Sequence[Traced]) -> list[str]:
    traced = sum(process.report is not None for process in processes)
    return [
        f"{len(place.pids)} of {traced}",
        format_bytes(place.bytes_per_s),
        place.word or _NOTHING,
        describe_caller(place.site),
    ]


def _say(
    processes: Sequence[Traced], places: Sequence[Place], asked: int, top: int
) -> Iterator[str]:
    if places[top:]:
        yield f"{count_of(len(places) - top, 'more place')}: see --top {len(places)}"
    traced = [process for process in processes if process.report]
    leaking = [process for process in traced if process.leaks]
    some = f"{len(leaking):,} of {count_of(len(traced), 'process')}"
    if not leaking:
        yield f"{some} have a call stack that seems to leak."
    elif len(leaking) == 1:
        yield f"{some} seems to leak: {leaking[0].pid}."
    else:
        shared = sum(len(place.pids) == len(leaking) for place in places)
        where = "each in places of its own, or of some of them"
        if shared:
            where = "in the same place" if shared == 1 else f"in the same {shared:,} places"
            if shared < len(places):
                where += f", and some of them in {len(places) - shared:,} more"
        yield f"{some} seem to leak: {where}."
    if asked > len(processes):
        yield f"{count_of(asked - len(processes), 'process')} were not traced: it was ended early."
