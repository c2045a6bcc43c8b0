"""What looks at a target that records itself: whether it lives, and how large it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gdbleak.capture.limits import Limits
from gdbleak.capture.outside import ResidentSet, find_end_of_program
from gdbleak.capture.probe import Status
from gdbleak.readable import Readable
from gdbleak.recording.end import EndedBy


class InlineObserver:
    """Looks at a target that nobody traces."""

    is_frozen = False
    is_armed = True
    disarmed_ns: int | None = None

    def __init__(
        self,
        pid: int,
        memory: Readable,
        place: int,
        own_bytes: int,
        pauses_ms: Sequence[float],
        limits: Limits,
        note: Callable[[bytes], None],
    ) -> None:
        """Begin to look; the window has just been opened.

        Args:
            pid: The target.
            memory: Its memory, as it was opened before the window.
            place: An address in its code.
            own_bytes: How much of its resident set is ours.
            pauses_ms: How long it stood still in each visit; more will be appended.
            limits: What ends the window.
            note: Appends a frame to the recording.

        """
        self._pid = pid
        self._memory = memory
        self._place = place
        self._pauses_ms = pauses_ms
        self._resident_set = ResidentSet(pid, limits, note, own_bytes)

    def look(self, elapsed_s: float, now_ns: int) -> None:
        """Note how large the resident set is.

        Args:
            elapsed_s: Seconds since the window was opened.
            now_ns: On the clock of the recording.

        Raises:
            WriteError: the recording cannot be written on.

        """
        self._resident_set.look(elapsed_s, now_ns)

    def find_end(self) -> EndedBy | None:
        """Return why the window has to end, if it has to."""
        return find_end_of_program(self._pid, self._memory, self._place)

    def find_late_end(self) -> EndedBy | None:
        """Return None."""
        return None

    def slowed_s(self, _elapsed_s: float) -> float:
        """Return 0: nobody traces it."""
        return 0.0

    def stopped_s(self, _elapsed_s: float) -> float:
        """Return for how long the target stood still in the visits so far."""
        return sum(self._pauses_ms) / 1e3

    def stops(self, _status: Status | None) -> int:
        """Return in how many visits it was halted."""
        return len(self._pauses_ms)

    def longest_pause_s(self, _status: Status | None) -> tuple[float | None, bool]:
        """Return the longest visit: no thread stood still for longer at once."""
        return max(self._pauses_ms, default=0.0) / 1e3, False
