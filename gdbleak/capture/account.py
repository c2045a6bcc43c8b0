"""What a window knows so far of what was recorded: a seam, for recorders keep it in their own ways.

`tail.Tail` replays what breakpoints have told. What is recorded inside a target comes too fast for
that, and is counted as it is written down.
"""

from __future__ import annotations

from typing import Protocol

from gdbleak.ledger.blocks import Block


class Account(Protocol):
    """What a recording says so far."""

    opened_ns: int | None
    """When the window was opened, on the clock of the recording; None before that."""

    @property
    def position(self) -> int:
        """Where the last whole frame of the recording ends that counts."""

    @property
    def events(self) -> int:
        """Calls and returns so far."""

    @property
    def full(self) -> bool:
        """True when as many events have come as the window may have."""

    @property
    def outstanding(self) -> dict[int, Block]:
        """Blocks of the window that are alive, by address, the latest at the end."""

    @property
    def ring_fill(self) -> float | None:
        """Which share of the room is taken that the target has to record in; None without any."""

    @property
    def slowed_s(self) -> float:
        """For how long the target was slowed, by the times of its stops."""

    @property
    def round_s(self) -> float:
        """While breakpoints are in, after how many seconds each busy thread stops once more."""

    def read(self) -> None:
        """Take in what has been appended since, or a part of it that takes no long time."""

    def read_all(self) -> None:
        """Take in everything that has been appended by now."""
