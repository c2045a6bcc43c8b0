"""What the process that looks on does: run the view that `Follower` has pickled."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path

import psutil

from gdbleak.errors import GdbleakError
from gdbleak.follow.lifeline import Lifeline
from gdbleak.follow.view import Subject, View
from gdbleak.streams import standard_output

NICENESS = 10
"""The target and those who trace it come first."""


def main(path: str) -> None:
    """Run the view that a file holds; its end is the end of the window."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    os.nice(NICENESS)
    view: View
    subject: Subject
    view, subject = pickle.loads(Path(path).read_bytes())
    try:
        with standard_output():
            view.run(subject, Lifeline(sys.stdin.fileno()))
    except GdbleakError as error:
        sys.stderr.write(f"gdbleak: {error}\n")
    finally:
        for process in psutil.Process().children():  # it may be reading symbols still
            process.kill()
