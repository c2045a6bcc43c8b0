"""What the asynchronous records of GDB tell of an end: of the target, or of the recording."""

from __future__ import annotations

from typing import Any

from gdbleak.recording.end import EndedBy


def is_own_trap(events: list[dict[str, Any]]) -> bool:
    """Return whether GDB has halted the target for a SIGTRAP that no breakpoint of ours has made.

    GDB halts all threads for it, so it is the last event.
    """
    stops = [event["payload"] or {} for event in events if event["message"] == "stopped"]
    return bool(stops) and stops[-1].get("signal-name") == "SIGTRAP"


def find_end(events: list[dict[str, Any]]) -> EndedBy | None:
    """Return the end that GDB's asynchronous records tell of."""
    for event in events:
        if event["message"] == "stopped":
            reason = str(event["payload"].get("reason", ""))
            if reason.startswith("exited"):
                killed = reason == "exited-signalled"
                return EndedBy.TARGET_KILLED if killed else EndedBy.TARGET_EXIT
            return EndedBy.TARGET_EXEC if reason == "exec" else EndedBy.DEBUGGER_STOPPED
    return None
