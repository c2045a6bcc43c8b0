"""How windows end: in words, whether that was asked for, and what to do where it was not."""

from __future__ import annotations

from typing import NamedTuple

from gdbleak.recording.end import EndedBy
from gdbleak.report.model import Report


class Ending(NamedTuple):
    """What is to be said of a way to end."""

    words: str
    remedy: str | None = None
    """What to do about it; None where it was asked for, so that the report is what was wanted."""


ENDINGS = {
    EndedBy.DURATION: Ending("ended by its duration"),
    EndedBy.MAX_EVENTS: Ending("ended by the event limit"),
    EndedBy.MAX_PAUSE: Ending(
        "ended because the target stood still for too long",
        "trace again with a larger --max-pause, or when this host has less to do",
    ),
    EndedBy.MAX_MEMORY: Ending(
        "ended because gdbleak or GDB used too much memory",
        "trace again with a larger --max-memory, or with fewer --stack-bytes",
    ),
    EndedBy.BUDGET: Ending(
        "ended because the breakpoints could not be taken out between bursts",
        "trace again with --budget 100, which leaves them in",
    ),
    # By Ctrl-C, by `q` on the full screen, or as nobody reads its tables any more.
    EndedBy.INTERRUPT: Ending("ended early by its user"),
    # `kill` sends it: in a script there is no other way to end a window early.
    EndedBy.TERMINATE: Ending("ended by SIGTERM"),
    EndedBy.HANGUP: Ending(
        "ended by SIGHUP", "trace again under `nohup`: then the end of a terminal ends no window"
    ),
    # The whole life of a program that ends by itself has been seen.
    EndedBy.TARGET_EXIT: Ending("ended because the target ended"),
    EndedBy.TARGET_KILLED: Ending(
        "ended because a signal killed the target", "find out what has killed it, and trace again"
    ),
    EndedBy.TARGET_EXEC: Ending(
        "ended because the target started another program",
        "trace again, now that the other program runs; it has the same PID",
    ),
    EndedBy.DEBUGGER_DIED: Ending(
        "ended because GDB ended unexpectedly",
        "trace again; end gdbleak, never gdb: see docs/safety.md",
    ),
    EndedBy.DEBUGGER_SILENT: Ending(
        "ended because GDB stopped answering", "trace again, or with another gdb in GDBLEAK_GDB"
    ),
    EndedBy.DEBUGGER_STOPPED: Ending(
        "ended because GDB stopped the target unexpectedly",
        "trace again, or with another gdb in GDBLEAK_GDB",
    ),
    EndedBy.STARVED: Ending(
        "ended because gdbleak was stopped, or got no processor",
        "trace again when this host has less to do",
    ),
    EndedBy.DISARMED: Ending(
        "ended because GDB took its breakpoints out: another process shares the memory",
        "trace again when the process has no child of vfork that lives for long",
    ),
    EndedBy.CHILD_TRAPPED: Ending(
        "ended because a process that the target made died of SIGTRAP, perhaps at a breakpoint in"
        " memory that it shared",
        "do not trace this process while it makes others that share its memory",
    ),
    EndedBy.WRITE_FAILED: Ending(
        "ended because the recording could not be written on",
        "trace again with --save, or TMPDIR, on a disk with room",
    ),
    EndedBy.RUNNING: Ending("still open", "wait for the end of the window"),
    EndedBy.UNKNOWN: Ending(
        "ended for a reason that was not recorded", "trace again, or for longer"
    ),
    EndedBy.OTHER: Ending(
        "ended for a reason that only a later gdbleak knows",
        "use the gdbleak that made the recording",
    ),
}
"""Of every member of `EndedBy`."""

_MUCH_LOST = 0.01
"""Of all events. A few are lost wherever threads are cancelled, or jump out of a call."""


def describe(ended_by: EndedBy) -> str:
    """Return in words how a window ended."""
    return ENDINGS[ended_by].words


def find_doubt(report: Report) -> tuple[str, str] | None:
    """Return why a report is not all that was asked for, and what to do; None if it is."""
    window = report.window
    if not window.complete:
        return "the recording is cut off before its window ended", "trace again"
    ending = ENDINGS[window.ended_by]
    if ending.remedy:
        return f"the window {ending.words}", ending.remedy
    if window.inline and window.inline.left:
        return (
            "not all could be taken out of the process",
            f"run `gdbleak rescue {report.target.pid}`",
        )
    if report.verification.ok is False:
        return "the process was not left as it was found", "look at it, and trace again"
    if not window.duration_s:
        return "the process ended before its window was open", "start the trace earlier"
    if window.lost_events > window.events * _MUCH_LOST:
        return f"{window.lost_events:,} events were lost", "trace again"
    return None


def find_doubt_of_search(report: Report) -> tuple[str, str] | None:
    """Return why a report tells no lost blocks, and what to do; None if it would tell them."""
    search = report.window.references
    if not report.leaking:  # there was nothing to look for
        return None
    if search is None:
        return (
            "the memory of the process was not searched for references",
            "trace again with this gdbleak",
        )
    if search.reason:
        return (
            f"the memory of the process was not searched for references: {search.reason}",
            "trace again without it"
            if search.reason.startswith("-")
            else "trace again with a larger --scan-time, or --scan-rate"
            if "--scan-time" in search.reason
            else "trace again",
        )
    return None
