"""The process that shows an open window: it runs the view that `Follower` has pickled."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from gdbleak.errors import GdbleakError
from gdbleak.follow.lifeline import Lifeline
from gdbleak.follow.view import Subject, View
from gdbleak.host.streams import standard_output

NICENESS = 10
"""The target and the processes that trace it come first."""


def main(path: str) -> None:
    """Run the view that a file holds, until the window ends."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    os.nice(NICENESS)
    view: View
    subject: Subject
    try:
        pickled = Path(path).read_bytes()
    except FileNotFoundError:  # gdbleak was interrupted meanwhile, and has cleaned up
        return
    view, subject = pickle.loads(pickled)
    try:
        with standard_output():
            view.run(subject, Lifeline(sys.stdin.fileno()))
    except GdbleakError as error:
        sys.stderr.write(f"gdbleak: {error}\n")
    finally:
        for process in psutil.Process().children(recursive=True):  # it may be reading symbols still
            with suppress(psutil.NoSuchProcess):
                process.kill()
