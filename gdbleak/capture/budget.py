"""The budget of breakpoints: a target is slowed for no more than its share of the time. Pure.

A leaky bucket: the target earns slowness as time goes by, and pays with what it was slowed. One
that is slowed less than its budget allows never sees a gap. When it owes too much, what tells only
sizes is left out; when it owes twice as much, it is left alone until it has paid, and from then on
the breakpoints are in for bursts. What is earned and not used does not last: a storm after a calm
hour meets the same limit.

A burst shows the target in slow motion. When it begins most threads wait for a request, so calls
at the end of one would be seen too rarely. So what comes first does not count, for a time of random
length, and what counts is long enough for whole requests, longer where many threads wait for each
other at breakpoints. It has a bound, for requests wait for it. The pause before a burst is of
random length too, so that nothing in the target keeps step with it.
"""

from __future__ import annotations

import random

from gdbleak.recording.phases import Phase

COUNTED_S, LONGEST_COUNTED_S = 0.1, 0.15
"""How long a burst counts: at least, and at most, in seconds. Before that it may not count for as
long, so no burst is longer than twice that."""
STOPS = 30
"""To be seen of each busy thread in that time."""
LEAST_COUNTED_S = 0.02
BURSTS = 10
"""So many bursts are to fit into a window: in a short one they are shorter."""
CREDIT_S = 0.5
"""A target may save, or owe before it is helped, what it earns in so many seconds."""
MARGIN = 0.9
"""So much of the budget is planned with: what was asked of GDB takes a moment to be done."""


class Schedule:
    """Decides which breakpoints should be in, from moment to moment of one window."""

    def __init__(
        self, duration_s: float, tail_s: float, share: float, seed: int | None = None
    ) -> None:
        """Begin.

        Args:
            duration_s: How long new blocks are recorded.
            tail_s: How long, after that, the end of these blocks is still recorded.
            share: The share of the time, 0 to 1, in which the target may be slowed. With 1
                everything is recorded, with every breakpoint.
            seed: Decides how long each pause is; None for a length that nobody can foresee.

        """
        self.end_s = duration_s + tail_s
        self._duration_s = duration_s
        self._keeps_all = share >= 1
        self._share = MARGIN * share
        self._full_s = self._share * CREDIT_S
        # On average, the part that does not count is half as long as the other.
        most_s = max(share * duration_s / BURSTS / 1.5, LEAST_COUNTED_S)
        self._least_s, self._most_s = min(COUNTED_S, most_s), min(LONGEST_COUNTED_S, most_s)
        self._settling_s, self._counted_s = 0.0, self._least_s
        """The two parts of the burst, or of the next one."""
        self._random = random.Random(seed)
        self._credit_s = 0.0
        self._elapsed_s = 0.0
        self._slowed_s = 0.0
        self._recording = Phase.ALL
        self.samples = False
        """Whether the breakpoints are in for bursts only."""
        self._is_burst = True
        self._begun_s = 0.0
        """When the burst was begun."""
        self._enough_s = 0.0
        """With how much credit the next one is begun."""

    def choose(self, elapsed_s: float, slowed_s: float, armed: bool, round_s: float = 0.0) -> Phase:
        """Return which breakpoints should be in now.

        Args:
            elapsed_s: Seconds since the window was opened.
            slowed_s: For how many of them the target was slowed, as far as that is known.
            armed: Whether breakpoints have been in since the last time this was asked.
            round_s: In bursts, after how many seconds each busy thread has stopped once more.

        """
        if not self._keeps_all:
            self._settle(elapsed_s, slowed_s, armed, round_s)
        if not self._is_burst:
            return Phase.NONE
        if elapsed_s >= self._duration_s:
            return Phase.FREES
        settles = self.samples and elapsed_s - self._begun_s < self._settling_s
        return Phase.SETTLING if settles else self._recording

    def _settle(self, elapsed_s: float, slowed_s: float, armed: bool, round_s: float) -> None:
        passed_s = elapsed_s - self._elapsed_s
        paid_s = slowed_s - self._slowed_s
        self._elapsed_s, self._slowed_s = elapsed_s, slowed_s
        if not self.samples:
            self._pay(passed_s, paid_s, self._full_s)
            if self._credit_s < -self._full_s:
                self.samples = True
                self._pause(round_s)
            elif self._credit_s < -self._full_s / 2:
                self._recording = Phase.FEWER
            return
        # In a burst, what nobody has seen may be slowness too: on a crowded host, say.
        self._pay(passed_s, armed * passed_s, LONGEST_COUNTED_S)
        if self._is_burst:
            if elapsed_s - self._begun_s >= self._settling_s + self._counted_s:
                self._pause(round_s)
        elif self._credit_s >= self._enough_s:
            self._is_burst, self._begun_s = True, elapsed_s

    def _pay(self, passed_s: float, paid_s: float, most_s: float) -> None:
        self._credit_s = min(self._credit_s + passed_s * self._share - paid_s, most_s)

    def _pause(self, round_s: float) -> None:
        """End a burst, and plan the next.

        On average the pause is as long as it takes to earn it; it is between none and twice that.
        """
        self._is_burst = False
        self._enough_s = self._random.uniform(0, self._counted_s * (1 - self._share))
        self._counted_s = min(max(STOPS * round_s, self._least_s), self._most_s)
        self._settling_s = self._random.uniform(0, self._counted_s)
