"""How much is done for what somebody else says: a process, its files, a recording. Pure.

A file may say that it has ten million sections, a heap that a list goes on for ever. No loop that
follows such words may go on for as long as they say: each has a share of one budget.

>>> effort = Effort(steps=10)
>>> effort.spend(8)
>>> effort.spend(8)
Traceback (most recent call last):
...
gdbleak.effort.EffortError: it would take too long
"""

from __future__ import annotations

import time

STEPS = 4_000_000
"""A step is what takes about a microsecond."""
HELD_BYTES = 256 << 20
"""As much is kept in memory of the files of one process, at most."""

_STEPS_A_LOOK = 2000
"""How often the clock is looked at."""


class EffortError(Exception):
    """More was asked for than there is to spend; whoever reads turns it into a sentence."""


class Effort:
    """What may be spent: steps, bytes that are held in memory, and time.

    Whoever has a share of another effort spends that one's, too.
    """

    def __init__(
        self,
        steps: int = STEPS,
        held_bytes: int = HELD_BYTES,
        seconds: float | None = None,
        whole: Effort | None = None,
    ) -> None:
        self._steps = steps
        self._bytes = held_bytes
        self._end_s = None if seconds is None else time.monotonic() + seconds
        self._whole = whole
        self._look_at = steps - _STEPS_A_LOOK

    def share(self) -> Effort:
        """Return most of what is left, for one of several files: none takes all of it."""
        return Effort(self._steps * 3 // 4, self._bytes * 3 // 4, whole=self)

    def spend(self, steps: int = 1, held_bytes: int = 0) -> None:
        """Spend some.

        Raises:
            EffortError: there is not as much left.

        """
        self._steps -= steps
        self._bytes -= held_bytes
        if self._steps < 0:
            raise EffortError("it would take too long")
        if self._bytes < 0:
            raise EffortError("it would take too much memory")
        if self._end_s is not None and self._steps < self._look_at:
            self._look_at = self._steps - _STEPS_A_LOOK
            if time.monotonic() > self._end_s:
                raise EffortError("it took too long")
        if self._whole is not None:
            self._whole.spend(steps, held_bytes)
