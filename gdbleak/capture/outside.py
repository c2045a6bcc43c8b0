"""What is seen of a target from outside, however it is recorded: its size, and its end."""

from __future__ import annotations

from collections.abc import Callable

from gdbleak.capture.limits import Limits
from gdbleak.readable import Readable
from gdbleak.recording.end import EndedBy
from gdbleak.recording.events import Resident, encode_resident
from gdbleak.target.proc import resident_set

RESIDENT_S, RESIDENT_SHARE = 0.1, 0.005
"""How often the resident set is noted at most, in seconds and as a share of the window."""


class ResidentSet:
    """Notes in a recording how large the resident set of a target is."""

    def __init__(
        self, pid: int, limits: Limits, note: Callable[[bytes], None], own_bytes: int = 0
    ) -> None:
        """Prepare.

        Args:
            pid: The target.
            limits: What ends the window.
            note: Appends a frame to the recording.
            own_bytes: How much of the resident set is ours.

        """
        self._pid = pid
        self._pause_s = max(RESIDENT_S, limits.duration_s * RESIDENT_SHARE)
        self._note = note
        self._own_bytes = own_bytes
        self._next_s = 0.0

    def look(self, elapsed_s: float, now_ns: int) -> None:
        """Note the size, if it is time to: see `Observer.look`."""
        if elapsed_s < self._next_s:
            return
        self._next_s = elapsed_s + self._pause_s
        size = resident_set(self._pid)
        if size:
            self._note(encode_resident(Resident(now_ns, max(size - self._own_bytes, 1))))


def find_end_of_program(pid: int, memory: Readable, place: int) -> EndedBy | None:
    """Return how the program of a target has ended; None as long as it runs.

    Args:
        pid: The target.
        memory: Its memory, as it was opened before the window. It is empty once the target has
            ended or runs another program.
        place: An address in its code.

    """
    if memory.read(place, 1):
        return None
    # A process that is ending has no memory at all.
    return EndedBy.TARGET_EXEC if resident_set(pid) else EndedBy.TARGET_EXIT
