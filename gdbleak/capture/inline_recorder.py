"""What reads a target that records its calls itself, and writes them into the recording.

The second implementation of `probe.Recorder`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

from gdbleak.capture.account import Account
from gdbleak.capture.children import SeenChildren
from gdbleak.capture.notebook import Notebook
from gdbleak.capture.probe import Recorder, Status
from gdbleak.errors import NoSuchProcessError, WriteError
from gdbleak.injection.injection import Injection
from gdbleak.inline.reader import Recorded, RingCounts, RingLostError, RingReader
from gdbleak.ledger.blocks import Block
from gdbleak.recording.end import EndedBy
from gdbleak.recording.events import Turn, encode_turn
from gdbleak.recording.phases import Phase
from gdbleak.target.proc import read_mappings

DRAIN_S = 0.02
"""How long a call that is being recorded may take to end, once the recorder is off."""
DRAINED_S = 5.0
"""How long it may take to read what is left."""
CODE_S = 1.0
"""How often is looked for code that was loaded."""


class InlineRecorder(Recorder, Account, Recorded):
    """The recorder inside a target, and what it has left there so far."""

    stop_signal = None
    slowed_s = 0.0
    round_s = 0.0

    def __init__(
        self,
        injection: Injection,
        notebook: Notebook,
        position: int,
        make_reader: Callable[[Recorded], RingReader],
        max_events: int | None,
    ) -> None:
        """Prepare.

        Args:
            injection: What is put into the target.
            notebook: Adds to the recording, and nobody else does.
            position: Where the recording ends by now.
            make_reader: Returns what reads the ring, once there is one, into a recording.
            max_events: How many events the window may have; None for any number.

        """
        self._injection = injection
        self._notebook = notebook
        self._make_reader = make_reader
        self._max_events = max_events
        self._reader: RingReader | None = None
        self._position = position
        self._phase = Phase.ALL
        self._write_error: str | None = None
        self._is_asked = False
        self._next_code_s = 0.0
        self._never, self._other_end = os.pipe2(os.O_CLOEXEC)
        self.seen_children = SeenChildren(injection.pid)
        self.opened_ns: int | None = None

    def close(self) -> None:
        """Let go of its descriptors."""
        os.close(self._never)
        os.close(self._other_end)

    @property
    def pid(self) -> int:
        """Process id of gdbleak: nobody else works in the window."""
        return os.getpid()

    @property
    def counts(self) -> RingCounts:
        """What has been read so far."""
        return self._reader.counts if self._reader else RingCounts()

    @property
    def children(self) -> int:
        """How many processes the target has started that were seen: see `SeenChildren`."""
        return len(self.seen_children)

    def fileno(self) -> int:
        """A descriptor that never becomes readable: what the target records has to be fetched."""
        return self._never

    def open(self) -> None:
        """Switch the recorder on: the window begins.

        Raises:
            NoSuchProcessError: the process has ended.
            WriteError: the recording cannot be written on.

        """
        try:
            self._reader = self._make_reader(self)
        except RingLostError as error:
            raise NoSuchProcessError(
                f"process {self._injection.pid} has ended meanwhile"
            ) from error
        self._note_phase()
        self._injection.switch(on=True)

    def drain(self) -> None:
        """Switch the recorder off, and take in what it has left."""
        if self._reader is None:
            return
        with suppress(NoSuchProcessError):
            self._injection.switch(on=False)
        self.seen_children.look_at_all()
        self.poll()  # what came until now came before this
        time.sleep(DRAIN_S)
        deadline_s, before = time.monotonic() + DRAINED_S, -1
        while before != (before := self.counts.events) and time.monotonic() < deadline_s:
            self.poll()
        try:
            self._reader.close()
        except WriteError as error:
            self._write_error = str(error)

    def poll(self, _timeout_s: float = 0) -> None:
        """Take in what has been recorded since."""
        if self._reader is None or self._write_error:
            return
        if time.monotonic() >= self._next_code_s:
            self._next_code_s = time.monotonic() + CODE_S
            self._reader.set_code(find_code(self._injection.pid))
        self.seen_children.look()
        try:
            self._reader.poll()
        except WriteError as error:
            self._write_error = str(error)
        except RingLostError:
            return  # the process has ended or runs another program: whoever observes it sees that

    def take_end(self) -> EndedBy | None:
        """Return None: how the target fares is seen from outside."""
        return None

    def ask_status(self) -> None:
        """Have the counts told by the next `poll_status`."""
        self._is_asked = True

    def poll_status(self) -> Status | None:
        """Return the counts, if they were asked for."""
        if not self._is_asked:
            return None
        self._is_asked = False
        return self.read_status()

    def read_status(self, _timeout_s: float = 0) -> Status:
        """Return the counts."""
        pauses_ns = [int(pause_ms * 1e6) for pause_ms in self._injection.pauses_ms]
        return Status(
            now_ns=time.monotonic_ns(),
            phase=self._phase,
            armed=True,
            turn_error=None,
            stops=len(pauses_ns),
            lost=self.counts.missing,
            write_error=self._write_error,
            last_error=None,
            attach_pause_ns=max(pauses_ns, default=None),
            longest_stop_ns=0,
        )

    def ask_turn(self, phase: Phase) -> None:
        """Say in the recording what counts from now on: the recorder tells everything."""
        self._phase = phase
        try:
            self._note_phase()
        except WriteError as error:
            self._write_error = str(error)

    def append(self, frames: bytes) -> None:
        """Append whole frames to the recording.

        Raises:
            WriteError: it cannot be written on.

        """
        self._notebook.note(frames)
        self._position += len(frames)

    def _note_phase(self) -> None:
        now_ns = time.monotonic_ns()
        self.append(encode_turn(Turn(now_ns, self._phase)))
        if self.opened_ns is None:
            self.opened_ns = now_ns

    def wake(self) -> None:
        """Do nothing: nobody holds the target."""

    @property
    def position(self) -> int:
        """Where the last whole frame of the recording ends."""
        return self._position

    @property
    def events(self) -> int:
        """Calls and returns so far."""
        return self.counts.events

    @property
    def full(self) -> bool:
        """True when as many events have come as the window may have."""
        return self._max_events is not None and self.events >= self._max_events

    @property
    def outstanding(self) -> dict[int, Block]:
        """Nothing: the books are kept when the window is over."""
        return {}

    @property
    def ring_fill(self) -> float:
        """Which share of the ring was unread at the latest poll."""
        return self.counts.fill

    def read(self) -> None:
        """Do nothing: `poll` takes in and writes down."""

    def read_all(self) -> None:
        """Do nothing: `drain` takes in the rest."""


def find_code(pid: int) -> list[tuple[int, int]]:
    """Return where executable memory is in a process; nothing once it has ended."""
    try:
        return [(each.start, each.end) for each in read_mappings(pid) if "x" in each.permissions]
    except (FileNotFoundError, ProcessLookupError):
        return []
