"""`gdbleak diff`: what has changed from one window to another."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from gdbleak.api import load
from gdbleak.bounds import Bounds
from gdbleak.commands.output import within
from gdbleak.errors import RecordingError, UsageError
from gdbleak.recording.reader import MAGIC
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
        parser.add_argument(
            "--top",
            type=within(Bounds(1), int),
            default=20,
            metavar="N",
            help="show the first N call stacks; json holds all (default: 20)",
        )
        parser.add_argument(
            "--format",
            choices=("table", "plain", "json"),
            help="default: table on a terminal and plain elsewhere",
        )

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        if Path(options.before).absolute() == Path(options.after).absolute():
            raise UsageError("both reports are the same file", "name two")
        comparison = compare(*(_open(path) for path in (options.before, options.after)))
        if options.format == "json":
            sys.stdout.write(as_json(comparison))
            return 0
        draws = options.format == "table" or (options.format is None and sys.stdout.isatty())
        width = shutil.get_terminal_size().columns if draws else None
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
