"""`gdbleak diff`: what has changed from one window to another."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gdbleak.api import load
from gdbleak.commands.arguments import add_layout_arguments
from gdbleak.commands.output import choose_output
from gdbleak.errors import RecordingError, UsageError
from gdbleak.recording.frames import MAGIC
from gdbleak.renderers.comparison import as_json, as_text
from gdbleak.report.comparison import compare
from gdbleak.report.model import Report
from gdbleak.report.reader import read_report

_ADVICE = "give files written with --save, or with -o FILE.json"


class Diff:
    """Compare two windows, call stack by call stack."""

    summary = "compare two recordings or reports"
    description = (
        "Compare two recordings, or JSON reports, call stack by call stack: which are new, which "
        "grow faster or slower, which are gone. They may be of different processes and builds: a "
        "call stack is known by its functions. What is compared is bytes per second; what chance "
        "explains is called the same."
    )
    examples = """\
  gdbleak diff before.gdbleak after.gdbleak
  gdbleak diff monday.json friday.json --format json
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("before", metavar="BEFORE", help="a recording or JSON report")
        parser.add_argument("after", metavar="AFTER", help="a later one")
        add_layout_arguments(parser, "call stacks", top=20)

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        if Path(options.before).absolute() == Path(options.after).absolute():
            raise UsageError("both reports are the same file", "name two")
        comparison = compare(*(_open(path) for path in (options.before, options.after)))
        medium = choose_output(options.format)
        if medium.form == "json":
            sys.stdout.write(as_json(comparison))
        else:
            width = medium.columns if medium.form == "table" else None
            sys.stdout.write(as_text(comparison, options.top, width))
        return 0


def _open(path: str) -> Report:
    """Return the report that a file holds, or that is made of the recording it holds."""
    try:
        with Path(path).open("rb") as file:
            if file.read(len(MAGIC)) == MAGIC:
                return load(path)
        return read_report(Path(path).read_text(encoding="utf-8"), path)
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}", _ADVICE) from error
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path} is neither a recording nor a JSON report", _ADVICE) from error
