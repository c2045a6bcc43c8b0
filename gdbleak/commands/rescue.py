"""`gdbleak rescue`: repair what a killed trace has left behind."""

from __future__ import annotations

import argparse
import sys

from gdbleak.bounds import Bounds
from gdbleak.commands.arguments import within
from gdbleak.injection.rescue import rescue
from gdbleak.text.lines import printable


class Rescue:
    """Repair processes from the journals of traces that were killed."""

    summary = "repair what a killed trace has left in a process"
    description = (
        "Every trace keeps a journal while breakpoints or a recorder are in a process. When "
        "gdbleak, gdb and the guard were killed, this takes them out again, after proving that it "
        "is the same process and the same library, and continues a process that was left stopped. "
        "The exit status is 1 when something is left that needs a person."
    )

    examples = """\
  gdbleak rescue                        every process of a trace that was killed
  gdbleak rescue 4711                   process 4711 alone
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "pid", metavar="PID", type=within(Bounds(1), int), nargs="?", help="only this process"
        )

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        outcomes = rescue(options.pid)
        for outcome in outcomes:
            sys.stdout.write(f"{printable(outcome.text)}\n")
        return 0 if all(outcome.ok for outcome in outcomes) else 1
