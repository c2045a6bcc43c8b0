"""How much of each stack is worth keeping, by how much there is to read. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gdbleak.inline.ring import LEVELS, MORE_STACK_BYTES, MORE_STACK_MASK, STACK_BYTES


class Step(NamedTuple):
    """How much of the stacks is kept."""

    stack_bytes: int
    """Of most blocks."""
    one_of: int
    """Of one in so many blocks the most is kept, so that long call stacks are known too."""


MOST_BYTES = 4096
IDLE_ONE_OF = 64
"""So many where the most is kept of all, for a while in which there is too much to read."""
BUSY = (Step(1024, 16), Step(512, 16), Step(192, 64))
"""When it is too much to keep the most of every block: from less to more busy."""
SHARE = 0.25
"""So much of a processor the reader may take for more than the last step keeps."""
_EVENT_S, _BYTE_S = 330e-9, 1.2e-9
"""Its processor time for an event, and for each byte of stack; `benchmarks/inline_reader.py`."""
_FALL, _RISE = 1.0, 0.8
"""Above the first part of that share there is less stack; there is more where it would be below the
second."""
_FULL = 0.25
"""From this fill on, there is less stack at once."""
_MEASURED_NS = 200_000_000
"""A rate is measured over so long."""


class Pace:
    """Measures how often events come, and chooses the bytes of stack that each keeps."""

    def __init__(self, most: int = MOST_BYTES, events_per_s: float | None = None) -> None:
        """Begin.

        Args:
            most: How many bytes of each stack are kept when there is time for that.
            events_per_s: How often events come, if that is known.

        """
        self._most = most
        self._steps = (Step(most, IDLE_ONE_OF), *(step for step in BUSY if step.stack_bytes < most))
        self._step = len(self._steps) - 1
        self._is_set = False
        self._since: tuple[int, int] | None = None
        self._events_per_s = events_per_s or 0.0
        self._is_measured = False
        if events_per_s is not None:
            self._step = self._settle(self._step)

    @property
    def stack_bytes(self) -> int:
        """What is kept of most stacks."""
        return self._steps[self._step].stack_bytes

    @property
    def settings(self) -> Iterator[tuple[int, int]]:
        """What is written into the ring's head: place, and value of each."""
        step = self._steps[self._step]
        yield MORE_STACK_BYTES, self._most
        # By other bits than those by which blocks are left out: else it were so of all the rest.
        yield MORE_STACK_MASK, (step.one_of - 1) << LEVELS
        yield STACK_BYTES, step.stack_bytes

    def measure(self, now_ns: int, events: int) -> float:
        """Return how many events come in a second, by how many have come until now."""
        if self._since is None:
            self._since = now_ns, events
        since_ns, before = self._since
        if now_ns - since_ns >= _MEASURED_NS:
            self._events_per_s = (events - before) * 1e9 / (now_ns - since_ns)
            self._since = now_ns, events
            self._is_measured = True
        return self._events_per_s

    def choose(self, fill: float, drops: bool) -> Iterator[tuple[int, int]]:
        """Yield what is to be written into the ring's head, if that changes: place, and value."""
        step = self._step
        if drops or fill >= _FULL:
            step = len(self._steps) - 1
        elif self._is_measured:
            self._is_measured = False
            step = self._settle(step)
        if step == self._step and self._is_set:
            return
        self._step, self._is_set = step, True
        yield from self.settings

    def _settle(self, step: int) -> int:
        """Return the step to go to, from one."""
        while step < len(self._steps) - 1 and self._load(step) > _FALL:
            step += 1
        while step > 0 and self._load(step - 1) < _RISE:
            step -= 1
        return step

    def _load(self, step: int) -> float:
        """Return which part of its share the reader would take, at a step."""
        stack_bytes, one_of = self._steps[step]
        mean_bytes = stack_bytes + (self._most - stack_bytes) / one_of
        # Every other event is a free, which has no stack.
        event_s = _EVENT_S + mean_bytes / 2 * _BYTE_S
        return self._events_per_s * event_s / SHARE
