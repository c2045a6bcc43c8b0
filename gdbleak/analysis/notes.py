"""What the reader of a report must know about how it came about. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import basename

from gdbleak.analysis.collect import Collected
from gdbleak.ledger.heap import Ledger
from gdbleak.recording.end import TARGET_ENDED, UNFINISHED, EndedBy
from gdbleak.recording.phases import Phase
from gdbleak.recording.reader import Recording
from gdbleak.recording.references import UNREACHED
from gdbleak.text.units import count_of
from gdbleak.verdicts.slowdown import describe_speed, is_slow

_WITHOUT_MODULES = (*TARGET_ENDED, EndedBy.TARGET_EXEC, EndedBy.RUNNING)
"""After a window that ended like this, nobody expects a list of the modules."""


_HIDING = {"libluajit": "Lua"}
"""Libraries that hide pointers, by how their names begin, and for code of which language.

LuaJIT keeps the upper bits of a `lightuserdata` in a table, and a number in their place, to leave
room for its tags (lj_obj.h, LJ_LIGHTUD_BITS_SEG)."""

_MUCH_SLOWED = 0.4
"""From this share of the time on, a process does clearly less than on its own."""


def iter_notes(
    recording: Recording, collected: Collected, speed: float | None = None
) -> Iterator[str]:
    """Yield sentences about what could not be known, and what became of the process."""
    yield from recording.head.notes
    yield from _explain_way(recording)
    yield from collected.notes
    ledger, end = collected.ledger, recording.end or UNFINISHED
    if recording.zeros:
        yield (
            f"{count_of(recording.dropped, 'event')} came too fast to be kept, so 1 block in"
            f" {1 << recording.zeros} is recorded, chosen by address, with all of its calls:"
            " the numbers with ~ are estimates of the whole"
        )
    if ledger.usable_sizes:
        yield _explain_sizes(ledger)
    if any(tally.reached[state] for tally in collected.tallies.values() for state in UNREACHED):
        yield from _name_hiding_libraries(recording)
    if recording.end and not end.modules and end.ended_by not in _WITHOUT_MODULES:
        yield (
            "what the process had mapped at the end could not be read: call stacks are cut at"
            " libraries that were loaded in the window; trace again to see through them"
        )
    if end.stop_signal and end.verification.state_after == "T":
        yield (
            f"the process is stopped: somebody sent it {end.stop_signal} in the window;"
            f" `kill -CONT {recording.head.target.pid}` continues it"
        )
    closed_ns = collected.span.closed_ns
    is_sampled = any(turn.phase is Phase.NONE for turn in collected.turns)
    share = (end.stopped_s or 0) / max(collected.span.window_ns / 1e9, 1e-9)
    if end.max_pause_ms is not None and (end.longest_pause_ms or 0) > end.max_pause_ms:
        yield (
            f"a thread stood still for {end.longest_pause_ms:.0f} ms at once, longer than the"
            f" {end.max_pause_ms:.0f} ms that --max-pause allows: that was seen only when it was"
            " over, or it was the attach or the detach that took so long"
        )
    if speed is not None and is_slow(speed):
        yield (
            f"{describe_speed(speed, recording.head.rate.at_least)}: on its own it does more, so"
            " the rates and the outlook are too low, and blocks got older than they do else"
        )
    elif not is_sampled and share >= _MUCH_SLOWED:
        yield (
            f"the process stood still for {100 * min(share, 1):.0f} % of the window: on its own it"
            " does more, so the rates and the outlook are too low"
        )
    if any(turn.phase is Phase.NONE and turn.time_ns >= closed_ns for turn in collected.turns):
        yield (
            "in the tail, frees were recorded in bursts only, to keep to --budget; with a larger"
            " one, more of them are seen"
        )


def _explain_way(recording: Recording) -> Iterator[str]:
    """Yield how the process was recorded, and why, unless all was recorded by breakpoints."""
    chosen = recording.head.chosen
    if chosen and chosen.kind != "breakpoints":
        yield f"recorded by {chosen}" if chosen.kind == "bursts" else f"recorded {chosen}"


def _name_hiding_libraries(recording: Recording) -> Iterator[str]:
    """Yield a sentence for each library that hides pointers from a search of memory."""
    names = {basename(module.path) for module in recording.head.modules}
    for name in sorted(names):
        for beginning, language in _HIDING.items():
            if name.startswith(beginning):
                yield (
                    f"{name} stores pointers in a form that a search of memory does not recognise:"
                    f" a block that only {language} code refers to may be called lost"
                )


def _explain_sizes(ledger: Ledger) -> str:
    """Return the sentence about sizes that were read from before the blocks."""
    if ledger.usable_sizes == ledger.allocations:
        return "sizes are those that glibc reserved for blocks, not those asked for"
    return (
        f"the sizes of {ledger.usable_sizes:,} blocks are those that glibc reserved for them, not"
        " those asked for"
    )
