"""`gdbleak doctor`: what would stop a trace, each finding with its cure."""

from __future__ import annotations

import argparse
import sys

from gdbleak.bounds import Bounds
from gdbleak.commands.output import within
from gdbleak.commands.selection import add_selection_arguments, selection
from gdbleak.doctor import examine_host, examine_process
from gdbleak.text import printable


class Doctor:
    """Say what would stop a trace on this host, or of one process."""

    summary = "say what would stop a trace on this host, or of one process"
    description = (
        "Check this host, and a process when its PID is given, for everything that would stop a "
        "trace. Of a process it is also said how often it allocates, and what recording that would "
        "cost. Nothing is attached to. The exit status is 0 when nothing was found."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "pid",
            metavar="PID",
            type=within(Bounds(1), int),
            nargs="?",
            help="the process to check",
        )
        add_selection_arguments(parser)

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        findings = examine_host()
        if options.pid is not None:
            findings += examine_process(options.pid, selection(options))
        for finding in findings:
            sys.stdout.write(f"{finding.mark:<8} {printable(finding.text)}\n")
            if finding.cure:
                sys.stdout.write(f"{'':<8}   try: {printable(finding.cure)}\n")
        return 1 if any(finding.stops for finding in findings) else 0
