"""What a watch was, and what it cost the process, in one sentence."""

from __future__ import annotations

from collections.abc import Iterator

from gdbleak.recording.end import EndedBy
from gdbleak.renderers.alarms import is_gone
from gdbleak.report.endings import describe
from gdbleak.report.model import Report
from gdbleak.report.window import WindowInfo
from gdbleak.text.units import count_of, format_percent, format_seconds

_REFUSED = "no inline: "
"""What stands in the reason for bursts before the one against inline: too long for a sentence."""

_EARLY = (EndedBy.INTERRUPT, EndedBy.TERMINATE, EndedBy.MAX_EVENTS)
"""As was asked for, but before its time."""

_MUCH = 0.001
"""A smaller share of the time is not worth a number."""


def describe_watch(report: Report) -> str:
    """Return how long and how the process was watched, how often halted, and how it was left."""
    window = report.window
    parts = [_how(report), *_halts(window), *_code(window), _left(report)]
    return f"{'; '.join(parts)}."


def _how(report: Report) -> str:
    window = report.window
    text = f"Watched {format_seconds(window.duration_s)}"
    text += f" {_describe_recording(window)}"
    if window.probe and window.inline:
        text += f" ({window.probe.reason})"
    elif window.probe and window.sampling and _REFUSED in window.probe.reason:
        text += ", as inline was refused"
    if window.ended_by in _EARLY:
        text += f", {describe(window.ended_by)}"
    return text


def _describe_recording(window: WindowInfo) -> str:
    """Return how it was recorded, and whether all of it was."""
    of = "every call"
    if window.sizes:
        of = "every call for blocks of {:,} to {:,} bytes".format(*window.sizes)
    if window.inline:
        one_of = window.inline.one_of
        return f"inline, {of}" if one_of == 1 else f"inline, 1 block in {one_of:,}"
    sampling = window.sampling
    if sampling is None:
        return f"by breakpoints, {of}"
    return f"by breakpoints, SAMPLED in {count_of(sampling.bursts, 'burst')}"


def _halts(window: WindowInfo) -> Iterator[str]:
    if window.stops is None:
        yield "it is not known how often it was halted"
        return
    text = f"halted {count_of(window.stops, 'time')}"
    if window.stopped_s is not None and window.stopped_s > _MUCH * window.observed_s:
        text += f" ({format_percent(window.stopped_s, window.observed_s)} of the time)"
    if window.longest_pause_ms is not None and window.stops:
        least = "at least " if window.longest_pause_is_least else ""
        text += f", longest {least}{format_seconds(window.longest_pause_ms / 1000)}"
    yield text


def _code(window: WindowInfo) -> Iterator[str]:
    inline = window.inline
    if inline is None:
        return
    written = f"{inline.code_bytes:,} bytes of code put in"
    if is_gone(window):
        yield f"{written}, gone with the program"
    else:
        yield f"{written} and {'NOT all ' if inline.left else ''}taken out"


def _left(report: Report) -> str:
    proof = report.verification
    if proof.ok is None:
        if proof.state_after is not None:
            return "released, its code could not be checked"
        return "it has ended" if report.window.complete else "how it was left is not known"
    return "left as found" if proof.ok else "NOT left as found"
