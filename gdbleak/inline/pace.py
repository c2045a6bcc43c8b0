"""How much of each stack is worth keeping, by how much there is to read. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gdbleak.inline.ring import MORE_STACK_BYTES, MORE_STACK_MASK, STACK_BYTES, UNIT_BYTES

STEPS = (4096, 1024, 512, 192)
"""Bytes of stack, from idle to busy."""
SUSTAINED = 300e6
"""So many bytes a second are read without much of a processor."""
_FALL, _RISE = 1.0, 0.5
"""Above the first share of that there is less stack; there is more where it would be below the
second."""
_FULL = 0.25
"""From this fill on, there is less stack at once."""
_MEASURED_NS = 200_000_000
"""A rate is measured over so long."""
MORE = 1024
"""At the lower steps, one of sixteen blocks keeps at least so much."""
_MORE_MASK = 0xF


class Pace:
    """Measures how often events come, and chooses the bytes of stack that each keeps."""

    def __init__(self, most: int = STEPS[0], events_per_s: float | None = None) -> None:
        """Begin.

        Args:
            most: How many bytes of each stack are kept when there is time for that.
            events_per_s: How often events come, if that is known.

        """
        self._steps = (most, *(step for step in STEPS if step < most))
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
        return self._steps[self._step]

    @property
    def settings(self) -> Iterator[tuple[int, int]]:
        """What is written into the ring's head: place, and value of each."""
        yield MORE_STACK_BYTES, max(min(MORE, self._steps[0]), self.stack_bytes)
        yield MORE_STACK_MASK, _MORE_MASK
        yield STACK_BYTES, self.stack_bytes

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
        """Return which part of what is sustained would have to be read, with so much stack."""
        stack = self._steps[step]
        more = (max(MORE, stack) - stack) / (_MORE_MASK + 1)
        # Every other event is a free, which has no stack.
        return self._events_per_s * (UNIT_BYTES + (stack + more) / 2 * 8 / 7) / SUSTAINED
