"""`gdbleak doctor`: what would stop a trace, and what to do about it."""

from __future__ import annotations

import argparse
import sys

from gdbleak.commands.allocator_arguments import add_selection_arguments, selection
from gdbleak.commands.process_argument import add_process_argument, choose_process
from gdbleak.preflight.doctor import examine_host, examine_process
from gdbleak.text.lines import printable


class Doctor:
    """Say what would stop a trace on this host, or of one process."""

    summary = "say what would stop a trace on this host, or of one process"
    description = (
        "Check this host, and a process when its PID is given, for everything that would stop a "
        "trace. For a process, also say how often it allocates and what it would cost to record "
        "that. The process is not touched: gdb is tried on one of gdbleak's own. The exit status "
        "is 0 when nothing was found."
    )

    examples = """\
  gdbleak doctor                        what this host lacks
  gdbleak doctor 4711                   what would stop a trace of process 4711
  gdbleak doctor redis-server           of a process by its name
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_process_argument(parser, "check", nargs="?")
        add_selection_arguments(parser)

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        findings = examine_host()
        if options.process is not None:
            pid = choose_process(options.process, "doctor")
            findings += examine_process(pid, selection(options))
        for finding in findings:
            sys.stdout.write(f"{finding.mark:<8} {printable(finding.text)}\n")
            if finding.cure:
                sys.stdout.write(f"{'':<8}   try: {printable(finding.cure)}\n")
        return 1 if any(finding.stops for finding in findings) else 0
