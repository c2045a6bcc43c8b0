"""The budget of breakpoints: a target is slowed for no more than its share of the time. Pure.

A leaky bucket: the target earns slowness as time goes by, and pays with what it was slowed. One
that is slowed less than its budget allows never sees a gap. When it owes too much, what tells only
sizes is left out; when it owes twice as much, it is left alone until it has paid, and from then on
the breakpoints are in for bursts. What is earned and not used does not last: a storm after a calm
hour meets the same limit.

A burst is long enough to hold whole requests, for it shows the target in slow motion, and the calls
at the end of a request would be seen too rarely else. It has a bound, for requests wait for it. The
pause before it is of random length, so that nothing in the target keeps step with it; and what it
sees first does not count: most threads were at the beginning of a request then.
"""

from __future__ import annotations

import random

from gdbleak.recording.phases import Phase

BURST_S = 0.2
"""The length of one burst, in seconds: no request waits for longer because of it."""
LEAST_BURST_S = 0.02
BURSTS = 10
"""At least so many are to fit into a window: in a short one they are shorter."""
SETTLING_SHARE = 0.25
"""What happens in so much of a burst, from its begin, does not count."""
CREDIT_S = 0.2
"""A target may save, or owe before it is helped, what it earns in so many seconds."""
MARGIN = 0.9
"""So much of the budget is planned with: what was asked of GDB takes a moment to be done."""


class Schedule:
    """Decides which breakpoints should be in, from moment to moment of one window."""

    def __init__(self, duration_s: float, tail_s: float, share: float, seed: int | None = None) -> None:
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
        self._burst_s = min(max(share * duration_s / BURSTS, LEAST_BURST_S), BURST_S)
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

    def choose(self, elapsed_s: float, slowed_s: float, armed: bool) -> Phase:
        """Return which breakpoints should be in now.

        Args:
            elapsed_s: Seconds since the window was opened.
            slowed_s: For how many of them the target was slowed, as far as that is known.
            armed: Whether breakpoints have been in since the last time this was asked.

        """
        if not self._keeps_all:
            self._settle(elapsed_s, slowed_s, armed)
        if not self._is_burst:
            return Phase.NONE
        if elapsed_s >= self._duration_s:
            return Phase.FREES
        settles = elapsed_s - self._begun_s < SETTLING_SHARE * self._burst_s
        return Phase.SETTLING if self.samples and settles else self._recording

    def _settle(self, elapsed_s: float, slowed_s: float, armed: bool) -> None:
        passed_s = elapsed_s - self._elapsed_s
        paid_s = slowed_s - self._slowed_s
        self._elapsed_s, self._slowed_s = elapsed_s, slowed_s
        if not self.samples:
            self._pay(passed_s, paid_s, self._full_s)
            if self._credit_s < -self._full_s:
                self.samples = True
                self._pause()
            elif self._credit_s < -self._full_s / 2:
                self._recording = Phase.FEWER
            return
        # In a burst, what nobody has seen may be slowness too: on a crowded host, say.
        self._pay(passed_s, armed * passed_s, self._burst_s)
        if self._is_burst:
            if elapsed_s - self._begun_s >= self._burst_s:
                self._pause()
        elif self._credit_s >= self._enough_s:
            self._is_burst, self._begun_s = True, elapsed_s

    def _pay(self, passed_s: float, paid_s: float, most_s: float) -> None:
        self._credit_s = min(self._credit_s + passed_s * self._share - paid_s, most_s)

    def _pause(self) -> None:
        """End a burst; on average, the pause is as long as it takes to earn it.

        It is random, between none and twice that.
        """
        self._is_burst = False
        self._enough_s = self._random.uniform(0, self._burst_s * (1 - self._share))
