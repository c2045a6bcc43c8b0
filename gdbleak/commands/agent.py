"""`gdbleak agent`: the part that runs inside GDB, for a host without gdbleak."""

from __future__ import annotations

import argparse
import sys

from gdbleak.plan.standalone import make_standalone


class Agent:
    """Write a script by which a GDB alone makes a recording."""

    summary = "write a script that records on a host without gdbleak"
    description = (
        "Write one file to standard output, by which a gdb with Python records what a process "
        "allocates, on a host where gdbleak cannot be installed: `gdb -p PID -x FILE`. "
        "`gdbleak report` reads the recording elsewhere. See docs/legacy-boxes.md."
    )

    examples = """\
  gdbleak agent --standalone --sysroot box > gdbleak_record.py
  gdb -nx -p 4711 -x gdbleak_record.py  on the host without gdbleak
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--standalone",
            action="store_true",
            required=True,
            help="write one file that needs nothing beside it (required)",
        )
        parser.add_argument(
            "--sysroot",
            metavar="DIR",
            help="a folder with copies of the program and libraries of the process, at their "
            "paths; by default those of this host are taken to be the same",
        )

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        sys.stdout.write(make_standalone(options.sysroot))
        return 0
