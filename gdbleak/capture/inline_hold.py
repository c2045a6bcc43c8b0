"""How a target is made to record itself, and how all of that is taken out again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from gdbleak.capture.inline_recorder import InlineRecorder
from gdbleak.errors import AttachError, DebuggerFailedError
from gdbleak.injection.injection import Injection
from gdbleak.injection.removal import Removal
from gdbleak.injection.ring_control import Settings
from gdbleak.injection.thread_facts import ThreadFacts, find_thread_facts
from gdbleak.inline.pace import Pace
from gdbleak.inline.ring import MORE_STACK_BYTES, MORE_STACK_MASK, STACK_BYTES
from gdbleak.recording.end import EndedBy
from gdbleak.target.proc import read_mappings


class InlineHold:
    """Takes a target by what is put into it, and lets it go by taking that out."""

    def __init__(self, injection: Injection, recorder: InlineRecorder, pace: Pace) -> None:
        """Prepare.

        Args:
            injection: What is put into the target.
            recorder: Reads what the target records.
            pace: Says how much stack to keep at first.

        """
        self._injection = injection
        self._recorder = recorder
        self._pace = pace
        self.facts: ThreadFacts | None = None
        """What was found of the threads, when the target was taken."""
        self.removal: Removal | None = None
        self.released_s: float | None = None

    @property
    def registers(self) -> dict[int, list[int]]:
        """What stood in the registers of threads when the recorder was taken out, by thread."""
        return self.removal.registers if self.removal else {}

    def take(self) -> None:
        """Put the recorder in, and switch it on. Nobody traces the target when this returns.

        Raises:
            NoSuchProcessError: the process has ended.
            InjectionError: it could not be done; what had been put in was taken out.
            AttachError: GDB failed; what had been put in was taken out.

        """
        pid = self._injection.pid
        try:
            self._injection.map_ring()
            with self._taken_out_after_errors():
                self._injection.arm(self._settings())
            self._injection.divert()
        except DebuggerFailedError as error:
            raise AttachError(
                f"could not record inside process {pid}: {error}", error.help_text
            ) from error
        with self._taken_out_after_errors():
            self._recorder.open()

    @contextmanager
    def _taken_out_after_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._injection.remove()
            raise

    def _settings(self) -> Settings:
        injection = self._injection
        facts = self.facts = find_thread_facts(
            injection.pid, injection.threads, read_mappings(injection.pid), injection.memory
        )
        places = dict(self._pace.settings)
        return Settings(
            stack_bytes=places[STACK_BYTES],
            more_stack_bytes=places[MORE_STACK_BYTES],
            more_stack_mask=places[MORE_STACK_MASK],
            main_stack=facts.main_stack,
            stack_block=facts.stack_block,
        )

    def let_go(self, _ended_by: EndedBy) -> None:
        """Switch the recorder off, take in the rest, and take everything out.

        Children of fork may hold it too, and live on when the target has ended.
        """
        try:
            self._recorder.drain()
        finally:
            self.removal = self._injection.remove()
            self._injection.pauses_ms += self.removal.pauses_ms
            self._recorder.seen_children.add(self.removal.restored)
            self.released_s = time.monotonic()
