"""The process that shows an open window, seen from the process that has the window."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import current_thread, main_thread
from types import TracebackType

import psutil

from gdbleak.capture.limits import Progress
from gdbleak.errors import WriteError
from gdbleak.follow.child import start_child
from gdbleak.follow.lifeline import encode
from gdbleak.follow.relay import Relay
from gdbleak.follow.view import Subject, View
from gdbleak.report.model import Report
from gdbleak.target.proc import read_state

POLL_S = 0.2


class Follower:
    """A view that runs beside a window."""

    def __init__(
        self,
        view: View,
        subject: Subject,
        folder: Path,
        on_report: Callable[[Report], None] | None = None,
    ) -> None:
        """Start it.

        Args:
            view: What to run.
            subject: What to show.
            folder: A private folder that stays until it has ended.
            on_report: Called in a thread of its own with each report that the view pickles;
                None for a view that writes to standard output.

        Raises:
            WriteError: there is no room in the folder.

        """
        self._view = view
        self.is_cut_off = False
        """Whether Ctrl-C came while it was waited for at the end."""
        try:
            scratch = Path(tempfile.mkdtemp(prefix="follow-", dir=folder))
            (scratch / "view.pickle").write_bytes(pickle.dumps((view, subject)))
        except OSError as error:
            raise WriteError(f"cannot write in {folder}: {error.strerror}") from error
        self._process = start_child(
            "gdbleak.follow.main",
            str(scratch / "view.pickle"),
            scratch,
            subprocess.PIPE if on_report else None,
        )
        assert self._process.stdin is not None
        self._lifeline = self._process.stdin
        os.set_blocking(self._lifeline.fileno(), False)
        self._relay = Relay(self._process.stdout, on_report) if on_report else None

    def tell(self, progress: Progress) -> None:
        """Tell how far the window is; if the view has ended, end the window as Ctrl-C does."""
        try:
            os.write(self._lifeline.fileno(), encode(progress))
        except BlockingIOError:  # it is busy
            pass
        except BrokenPipeError:
            if current_thread() is main_thread():  # no other heeds signals
                signal.raise_signal(signal.SIGINT)

    def __enter__(self) -> Follower:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tell that the window has ended, and wait until all is shown, or until Ctrl-C."""
        self._lifeline.close()
        try:
            self._wait()
        except KeyboardInterrupt:
            self.is_cut_off = True
            self._kill()
        if self._process.returncode:
            self._view.clean_up()
        if self._relay:
            self._relay.finish(kind is not None)

    def _wait(self) -> None:
        patience_s = self._view.patience_s
        give_up_s = time.monotonic() + (float("inf") if patience_s is None else patience_s)
        while True:
            try:
                self._process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                # A stopped process would never end.
                if time.monotonic() > give_up_s or read_state(self._process.pid) == "T":
                    self._kill()
            else:
                return

    def _kill(self) -> None:
        """Kill it, and the GDB that reads symbols for it."""
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._process.pid).children(recursive=True):
                process.kill()
        self._process.kill()
        self._process.wait()
