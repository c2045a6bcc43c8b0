"""`gdbleak report`: a saved recording again."""

from __future__ import annotations

import argparse
from pathlib import Path

from gdbleak.api import load
from gdbleak.commands.arguments import add_report_arguments, report_options
from gdbleak.commands.output import Output
from gdbleak.errors import FileError


class Report:
    """Make the report of a saved recording."""

    summary = "show a saved recording again"
    description = (
        "Make the report of a recording that `gdbleak trace --save` has written. The program and "
        "its libraries are read at their paths on this host; those that have changed since, told "
        "by their build-id, are not used."
    )

    examples = """\
  gdbleak report leak.gdbleak --top 3
  gdbleak report leak.gdbleak --older 5000 --min-size 1k --sort count
  gdbleak report leak.gdbleak -o leak.json
  gdbleak report leak.gdbleak --sysroot box
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("recording", metavar="RECORDING", help="file written by --save")
        parser.add_argument(
            "--sysroot",
            metavar="DIR",
            help="read the program and libraries below DIR, where copies of them lie at their "
            "paths",
        )
        add_report_arguments(parser)

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        output = Output(options)
        if options.sysroot is not None and not Path(options.sysroot).is_dir():
            raise FileError(
                f"{options.sysroot} is not a folder", "give the folder that holds the copies"
            )
        report = load(options.recording, options=report_options(options), sysroot=options.sysroot)
        output.show(report)
        return output.status(report)
