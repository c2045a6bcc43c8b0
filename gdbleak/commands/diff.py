"""`gdbleak diff`: what has changed from one window to another."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from gdbleak.api import load
from gdbleak.commands.arguments import add_layout_arguments
from gdbleak.commands.output import choose_output
from gdbleak.errors import RecordingError, UsageError
from gdbleak.recording.frames import MAGIC
from gdbleak.renderers import comparison as of_reports
from gdbleak.renderers.heap import comparison as of_heaps
from gdbleak.report.comparison import compare
from gdbleak.report.heap import HeapReport
from gdbleak.report.heap_comparison import compare_heaps
from gdbleak.report.heap_reader import is_heap_report, read_heap_report
from gdbleak.report.model import Report
from gdbleak.report.reader import read_report

_ADVICE = "give files written with --save, or with -o FILE.json"


class Diff:
    """Compare two windows, call stack by call stack; or two heaps, size by size."""

    summary = "compare two recordings, reports or heaps"
    description = (
        "Compare two recordings, or JSON reports, call stack by call stack: which are new, which "
        "grow faster or slower, which are gone. They may be of different processes and builds: a "
        "call stack is known by its functions. What is compared is bytes per second; what chance "
        "explains is called the same. Two files of `gdbleak heap` are compared by sizes of blocks, "
        "arenas and kinds of mappings."
    )
    examples = """\
  gdbleak diff before.gdbleak after.gdbleak
  gdbleak diff monday.json friday.json --format json
  gdbleak diff before.heap after.heap   two that `gdbleak heap PID --save FILE` has written
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "before", metavar="BEFORE", help="a recording, or a JSON report of a trace or a heap"
        )
        parser.add_argument("after", metavar="AFTER", help="a later one of the same kind")
        add_layout_arguments(parser, "call stacks, or sizes", top=20)

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        if Path(options.before).absolute() == Path(options.after).absolute():
            raise UsageError("both reports are the same file", "name two")
        show = _compare(options.before, options.after)
        medium = choose_output(options.format)
        width = medium.columns if medium.form == "table" else None
        sys.stdout.write(show(medium.form == "json", options.top, width))
        return 0


def _compare(first: str, second: str) -> Callable[[bool, int, int | None], str]:
    """Compare two files; return what shows that as JSON, or as text with so many rows and columns.

    Raises:
        RecordingError: a file cannot be read.
        UsageError: one holds a heap, the other does not.

    """
    before, after = _open(first), _open(second)
    if isinstance(before, HeapReport) and isinstance(after, HeapReport):
        heaps = compare_heaps(before, after)
        return lambda is_json, top, width: (
            of_heaps.as_json(heaps) if is_json else of_heaps.as_text(heaps, top, width)
        )
    if isinstance(before, HeapReport) or isinstance(after, HeapReport):
        heap, trace = (first, second) if isinstance(before, HeapReport) else (second, first)
        raise UsageError(
            f"{heap} is about a heap, and {trace} about a trace: they have nothing to compare",
            "name two files of `gdbleak heap`, or two of `gdbleak trace`",
        )
    reports = compare(before, after)
    return lambda is_json, top, width: (
        of_reports.as_json(reports) if is_json else of_reports.as_text(reports, top, width)
    )


def _open(path: str) -> Report | HeapReport:
    """Return the report that a file holds, or that is made of the recording it holds."""
    try:
        with Path(path).open("rb") as file:
            if file.read(len(MAGIC)) == MAGIC:
                return load(path)
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}", _ADVICE) from error
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path} is neither a recording nor a JSON report", _ADVICE) from error
    return read_heap_report(text, path) if is_heap_report(text) else read_report(text, path)
