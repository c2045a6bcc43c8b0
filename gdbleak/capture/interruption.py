"""Ctrl-C, Ctrl-Z, SIGTERM and SIGHUP in a trace: they end the window, never the detach."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from gdbleak.recording.end import EndedBy

_REASONS = {
    signal.SIGINT: EndedBy.INTERRUPT,
    signal.SIGTERM: EndedBy.TERMINATE,
    signal.SIGHUP: EndedBy.HANGUP,
    # Ctrl-Z: a suspended gdbleak could not keep its promises.
    signal.SIGTSTP: EndedBy.INTERRUPT,
}


@contextmanager
def before_attach(pid: int) -> Iterator[None]:
    """Say of a Ctrl-C in what comes before the attach to a process that it did no harm."""
    try:
        yield
    except KeyboardInterrupt:
        text = f"interrupted before the window began; process {pid} is as it was"
        raise KeyboardInterrupt(text) from None


class Interruption:
    """A context in which these signals raise KeyboardInterrupt, then are only noted.

    Python delivers signals to its main thread alone; in another one the context does nothing.
    """

    def __init__(self) -> None:
        self.reason: EndedBy | None = None
        """The first signal that was noted, as the reason to end the window."""
        self._defers = False
        self._previous: dict[signal.Signals, Any] = {}
        self._read_end, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def defer(self) -> None:
        """Only note them from now on: nothing must get between the attach and the detach."""
        self._defers = True

    def fileno(self) -> int:
        """The descriptor that becomes readable when a signal has come."""
        return self._read_end

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in _REASONS:
                if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                    continue  # nohup: the window is to outlast the terminal
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        os.close(self._read_end)
        os.close(self._write_end)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if not self._defers:
            raise KeyboardInterrupt
        if self.reason is None:
            self.reason = _REASONS[signal.Signals(number)]
            os.write(self._write_end, b"\0")
