"""Follows a recording while the agent writes it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gdbleak.capture.account import Account
from gdbleak.capture.slowness import Calls, Slowness
from gdbleak.ledger.blocks import Block
from gdbleak.ledger.replay import Replay
from gdbleak.recording.events import Hit, Turn
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.growing import Appended, GrowingRecording
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe, Role


class Tail(Account):
    """What breakpoints have told so far. A context: the recording is open until its end."""

    def __init__(
        self,
        path: Path,
        probes: tuple[Probe, ...],
        functions: tuple[AllocatorFunction, ...],
        max_events: int | None,
    ) -> None:
        self.probes = probes
        self.opened_ns: int | None = None
        self._recording = GrowingRecording(path, probes, path.stat().st_size)
        self._replay = Replay(probes, functions, lambda _: None)
        self._slowness = Slowness()
        self._calls = Calls()
        self._threads: set[int] = set()
        """Those that were halted since breakpoints came in last."""
        self._busy = 0
        """How many these were the time before."""
        allocating = {function.name for function in functions if function.allocates}
        # A free has no return that is seen.
        self._roles = [
            Role.ESCAPE if p.role is Role.ENTRY and p.function not in allocating else p.role
            for p in probes
        ]
        self._max_events = max_events

    def __enter__(self) -> Tail:
        return self

    def __exit__(self, *error: object) -> None:
        self._recording.__exit__(*error)

    @property
    def position(self) -> int:
        """Where the last whole frame ends, or the last that `max_events` admits."""
        return self._recording.position

    @property
    def events(self) -> int:
        """Hits so far."""
        return self._replay.events

    @property
    def full(self) -> bool:
        """True when as many events have come as the window may have."""
        return self._max_events is not None and self.events >= self._max_events

    @property
    def outstanding(self) -> dict[int, Block]:
        """Blocks of the window that are alive, by address, the latest at the end."""
        return self._replay.ledger.outstanding

    @property
    def ring_fill(self) -> None:
        """None: what breakpoints tell is written down at once."""

    @property
    def slowed_s(self) -> float:
        """For how long the target was slowed, by the times of its stops."""
        return self._slowness.total_ns / 1e9

    @property
    def round_s(self) -> float:
        """While breakpoints are in, after how many seconds each busy thread stops once more."""
        return max(len(self._threads), self._busy) * self._slowness.stop_ns / 1e9

    @property
    def longest_call_s(self) -> tuple[float, float]:
        """For how long the slowest call stood still, and may have, by the times of all stops."""
        return self._calls.longest_ns / 1e9, self._calls.possible_ns / 1e9

    def read_all(self) -> None:
        """Take in everything that has been appended by now."""
        self._take_in(self._recording.read_all())

    def read(self) -> None:
        """Take in what has been appended since, or a part of it that takes no long time."""
        self._take_in(self._recording.read())

    def _take_in(self, appended: Iterable[Appended]) -> None:
        if self.full:
            return
        for event, _, _ in appended:
            self._replay.feed(event)
            if isinstance(event, Hit):
                slowness, role = self._slowness, self._roles[event.probe]
                slowness.add(event.time_ns, event.thread, role)
                self._threads.add(event.thread)
                self._calls.add(event.thread, role, slowness.total_ns, slowness.stop_ns)
            elif isinstance(event, Turn):
                self._slowness.forget()
                self._calls.forget()
                if event.phase is Phase.NONE:
                    self._busy = len(self._threads)
                    self._threads.clear()
                if self.opened_ns is None:
                    self.opened_ns = event.time_ns
            if self.full:
                return
