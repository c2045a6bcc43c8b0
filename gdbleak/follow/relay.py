"""Reports of an open window for a program that imports gdbleak."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import IO

from gdbleak.follow.lifeline import Lifeline
from gdbleak.follow.tables import iter_reports
from gdbleak.follow.view import Subject
from gdbleak.report.model import Report


@dataclass(frozen=True)
class Pickles:
    """Writes a report at each interval, for `Relay` to read."""

    interval_s: float
    patience_s: float | None = None

    def run(self, subject: Subject, lifeline: Lifeline) -> None:
        """Write them."""
        for report in iter_reports(subject, lifeline, self.interval_s):
            pickle.dump(report, sys.stdout.buffer)
            sys.stdout.flush()

    def clean_up(self) -> None:
        """Nothing is left."""


class Relay:
    """A thread that reads reports, and hands them on."""

    def __init__(self, source: IO[bytes] | None, on_report: Callable[[Report], None]) -> None:
        assert source is not None
        self._source = source
        self._on_report = on_report
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self, quietly: bool) -> None:
        """Wait until the last report was handed on; raise what its receiver has raised."""
        self._thread.join()
        if self._error and not quietly:
            raise self._error

    def _run(self) -> None:
        with self._source:
            try:
                while True:
                    self._on_report(pickle.load(self._source))
            except EOFError:
                pass
            except Exception as error:
                # Closing the pipe ends the process that writes to it, and so the window.
                self._error = error
