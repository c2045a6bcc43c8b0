"""What the window cost and proved, as labelled lines for the formats for people."""

from __future__ import annotations

from gdbleak.recording.end import TARGET_ENDED, EndedBy
from gdbleak.renderers.alarms import describe_proof
from gdbleak.renderers.references import describe_search
from gdbleak.report.endings import describe
from gdbleak.report.model import Report
from gdbleak.report.window import MemoryInfo, Outlook, Sampling, Suppressed, WindowInfo
from gdbleak.text.lines import Line, printable
from gdbleak.text.units import (
    count_of,
    format_bytes,
    format_count,
    format_factor,
    format_percent,
    format_seconds,
)

LABEL_WIDTH = len("target left as found: ")
"""In which column values begin."""
_SAME = 1.05
"""Numbers that are no more than so many times each other are called the same."""


def summary(report: Report) -> list[Line]:
    """Return a line for each fact: recording, cost, memory, proof, notes."""
    return [
        *_recording(report.window),
        *_cost(report.window),
        *_memory(report.memory, report.window.sampling),
        *_references(report),
        *_outlook(report.outlook),
        *_suppressed(report.suppressed),
        _proof(report),
        *(_fact("note", printable(note)) for note in report.notes),
    ]


def _fact(label: str, value: str, alarm: bool = False) -> Line:
    text = f"{label + ':':{LABEL_WIDTH}}{value}"
    return Line(text, LABEL_WIDTH, "alarm" if alarm else "plain")


def _recording(window: WindowInfo) -> list[Line]:
    tail = f" and a tail of {format_seconds(window.tail_s)}" if window.tail_s else ""
    facts = [
        _fact("window", f"{format_seconds(window.duration_s)}{tail}, {describe(window.ended_by)}"),
        *_sizes(window),
        *_sampling(window.sampling, bool(window.sizes)),
        *_inline(window),
        _fact("events", f"{window.events:,}"),
        _fact("allocations", f"{window.allocations:,}"),
        _fact(
            "frees",
            f"{window.frees:,} ({window.frees_of_older_blocks:,} of blocks older than the window)",
        ),
    ]
    if not window.complete:
        cut_off = "INCOMPLETE: cut off before the window ended; what came after is missing"
        facts.insert(1, _fact("recording", cut_off, alarm=True))
    if window.children:
        least = "at least " if window.inline else ""  # from outside, not every one is seen
        started = f"{least}{window.children:,} started by the target, not traced"
        facts.append(_fact("children", started))
    if window.missed_frees:
        missed = (
            f"{window.missed_frees:,} (an address was handed out again although no free was seen)"
        )
        facts.append(_fact("missed frees", missed, alarm=window.sampling is None))
    if window.found_free:
        facts.append(_fact("found free", f"{window.found_free:,} (seen in memory between bursts)"))
    if window.lost_events and not (window.inline and window.inline.lost):  # said above
        lost = f"{window.lost_events:,} LOST: counts above may be wrong by as many"
        facts.append(_fact("lost events", lost, alarm=True))
    return facts


def _sizes(window: WindowInfo) -> list[Line]:
    """Say that blocks of other sizes are not among the numbers."""
    if not window.sizes:
        return []
    least, most = window.sizes
    return [_fact("sizes", f"only blocks of {least:,} to {most:,} bytes were recorded (--size)")]


def _sampling(sampling: Sampling | None, some_sizes: bool) -> list[Line]:
    """Say that numbers in the table are estimates, and how much was recorded."""
    if sampling is None:
        return []
    of, share = "", ""
    if sampling.calls is not None:
        of = f" of about {format_count(sampling.calls)}"
        share = f" ({format_percent(sampling.recorded_calls, sampling.calls)})"
    stands_for = f"each recorded block counts as {format_factor(sampling.scale)}"
    basis = "by the share of the calls that was recorded"
    if sampling.calls is None:
        basis = "by the share of the time that was recorded"
    if sampling.dilation > _SAME:
        slower = f"in bursts the process ran up to {format_factor(sampling.dilation)} times slower"
        other = f"what a clock triggers, as {format_factor(sampling.scale_low)}"
        if sampling.scale < sampling.scale_high:
            other = f"where it is busy, as up to {format_factor(sampling.scale_high)}"
        basis += f"; {other}, for {slower}"
    elif some_sizes:
        basis += "; it may be more"
    bursts = count_of(sampling.bursts, "burst")
    return [
        _fact(
            "SAMPLED",
            f"{sampling.recorded_calls:,}{of} calls that allocate{share}, in {bursts} of"
            f" {format_seconds(sampling.recorded_s)} together: to keep to --budget",
        ),
        _fact(
            "estimates",
            f"numbers with ~; {stands_for}, {basis} (docs/budget.md)",
        ),
    ]


def _inline(window: WindowInfo) -> list[Line]:
    """Say what recorded inside the process, and that it is out again."""
    inline = window.inline
    if inline is None:
        return []
    lost = "none lost"
    if inline.lost:
        lost = f"{inline.lost:,} LOST: counts may be wrong by as many"
    events = f"{window.events:,} events"
    if inline.one_of > 1:
        events += f", those of 1 block in {inline.one_of}"
    jumps = count_of(inline.functions, "function")
    written = (
        f"{inline.code_bytes:,} bytes of code in {printable(inline.path)},"
        f" jumps there from {jumps}, {format_bytes(inline.ring_bytes)} of memory"
    )
    also = f", and out of {count_of(inline.children, 'fork')} of it" if inline.children else ""
    out = "all of it is out again"
    if inline.left:
        out = f"still there: {printable(inline.left)}"
    elif window.ended_by in (*TARGET_ENDED, EndedBy.TARGET_EXEC):
        out = "gone with the program"
    return [
        _fact("recorded inline", f"{events}, {lost}", alarm=inline.lost > 0),
        _fact("written into it", f"{written}: {out}{also}", alarm=inline.left is not None),
    ]


def _cost(window: WindowInfo) -> list[Line]:
    stops = "unknown" if window.stops is None else f"{window.stops:,}"
    if window.stopped_s is not None:
        share = format_percent(window.stopped_s, window.observed_s)
        stops += f"; target stopped for {format_seconds(window.stopped_s)} ({share} of the time)"
    pause = window.longest_pause_ms
    longest = "unknown" if pause is None else format_seconds(pause / 1000)
    if window.longest_pause_is_least:
        longest = f"at least {longest}"
    return [_fact("stops", stops), _fact("longest pause", longest)]


def _memory(memory: MemoryInfo, sampling: Sampling | None) -> list[Line]:
    before, after = memory.rss_before, memory.rss_after
    if before is None or after is None:
        return [_fact("resident set", "unknown")]
    growth = after - before
    change = "grew by" if growth >= 0 else "shrank by"
    sizes = f"{format_bytes(before)} -> {format_bytes(after)}, {change} {format_bytes(abs(growth))}"
    facts = [_fact("resident set", sizes)]
    if sampling and memory.outstanding_bytes is not None:
        estimated = f"{format_bytes(memory.outstanding_bytes)} outstanding in all"
        facts.append(_fact("to compare", f"{estimated}, by the estimates, not by that growth"))
    elif growth > 0 and memory.explained_bytes is not None:
        share = format_percent(memory.explained_bytes, growth)
        explained = (
            f"{format_bytes(memory.explained_bytes)} of that growth ({share}) by outstanding blocks"
        )
        facts.append(_fact("explained", explained))
    return [*facts, *(_fact("the rest", printable(sentence)) for sentence in memory.rest)]


def _references(report: Report) -> list[Line]:
    search = describe_search(report)
    return [_fact("references", search)] if search else []


def _suppressed(suppressed: Suppressed | None) -> list[Line]:
    text = describe_suppressed(suppressed)
    return [_fact("suppressed", text)] if text else []


def describe_suppressed(suppressed: Suppressed | None) -> str | None:
    """Return what --suppress left out; None if it was not given."""
    if suppressed is None:
        return None
    stacks = count_of(suppressed.sites, "call stack")
    blocks = count_of(suppressed.outstanding_count, "block")
    held = f"{format_bytes(suppressed.outstanding_bytes)} in {blocks}"
    return f"{stacks} with {held}, by --suppress"


def _outlook(outlook: Outlook | None) -> list[Line]:
    """Say when a limit is reached, and under which condition."""
    if outlook is None:
        return []
    rate = f"{format_bytes(outlook.bytes_per_s * 3600)} an hour"
    if outlook.limit_bytes is None or outlook.reached_in_s is None:
        return [_fact("outlook", f"{rate}, if it goes on like this")]
    limit = f"{format_bytes(outlook.limit_bytes)} of its {outlook.limit_of}"
    when = format_seconds(outlook.reached_in_s)
    return [
        _fact(
            "outlook",
            f"{rate}; at this rate it reaches the {limit} in about {when}, unless other"
            " processes grow or shrink",
        )
    ]


def _proof(report: Report) -> Line:
    is_wrong = report.verification.ok is False
    return _fact("target left as found", describe_proof(report), alarm=is_wrong)
