"""`gdbleak suspects`: which process leaks?"""

from __future__ import annotations

import argparse
import sys

from gdbleak.bounds import bounds_of
from gdbleak.commands.arguments import add_layout_arguments, within
from gdbleak.commands.output import choose_output
from gdbleak.commands.terminal_line import TerminalLine
from gdbleak.renderers.lineup import as_json, as_text
from gdbleak.survey.search import Search, find_suspects
from gdbleak.text.quantities import parse_seconds
from gdbleak.text.units import format_seconds


class Suspects:
    """Rank the processes of this host by how steadily their memory grows."""

    summary = "say which processes grow, and how steadily"
    description = (
        "Look at the private memory of every process again and again, and list those that grow, "
        "the steadiest first. A process whose memory jumped once, or goes up and down, is not "
        "listed. Nothing is attached to. Ctrl-C ends it early, with what was seen so far."
    )
    examples = """\
  gdbleak suspects                      look for half a minute
  gdbleak suspects --duration 3600 --interval 60
  gdbleak suspects --format json | jq '.suspects[0].pid'
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--duration",
            type=within(bounds_of(Search, "duration_s"), parse_seconds),
            default=Search.duration_s,
            metavar="S",
            help="look for S seconds (default: %(default)g)",
        )
        parser.add_argument(
            "--interval",
            type=within(bounds_of(Search, "interval_s"), parse_seconds),
            default=Search.interval_s,
            metavar="S",
            help="look every S seconds (default: %(default)g)",
        )
        add_layout_arguments(parser, "processes", top=10)

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        whole = format_seconds(options.duration)
        with TerminalLine() as line:
            if not line.draws:
                sys.stderr.write(f"gdbleak: looking at all processes for {options.duration:g} s\n")

            def draw(elapsed_s: float) -> None:
                line.draw(f"looking: {elapsed_s:.0f} of {whole} (Ctrl-C ends it early)")

            lineup = find_suspects(Search(options.duration, options.interval), draw)
        medium = choose_output(options.format)
        if medium.form == "json":
            sys.stdout.write(as_json(lineup))
            return 0
        ascii_only = medium.form != "table" or not medium.is_unicode
        sys.stdout.write(as_text(lineup, options.top, medium.width, ascii_only))
        return 0
