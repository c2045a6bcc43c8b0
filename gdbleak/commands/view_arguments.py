"""The options that show a window while it is open."""

from __future__ import annotations

import argparse
import os
import sys

from gdbleak.bounds import Bounds
from gdbleak.capture.limits import Limits
from gdbleak.commands.arguments import within
from gdbleak.commands.output import choose_output
from gdbleak.errors import UsageError
from gdbleak.follow.events import Events
from gdbleak.follow.live import Live
from gdbleak.follow.tables import Tables
from gdbleak.follow.terminal import PATH, Terminal
from gdbleak.follow.view import View
from gdbleak.renderers.interim import InterimRenderer
from gdbleak.renderers.json import JsonRenderer
from gdbleak.text.quantities import parse_seconds

LASTING_S = 600.0
"""How long a window lasts by default when it is watched: its user sees enough before its end."""

INTERVAL = Bounds(0.1, 86400)


def add_watching_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("while the window is open")
    group.add_argument(
        "--interval",
        type=within(INTERVAL, parse_seconds),
        metavar="S",
        help="write a table of what is outstanding so far every S seconds; the window then lasts "
        "600 s unless --duration or --count say otherwise",
    )
    group.add_argument(
        "--count",
        type=within(Bounds(1), int),
        metavar="N",
        help="with --interval: end the window with the Nth table, after N times S seconds",
    )
    group.add_argument(
        "--live",
        action="store_true",
        help="show what is outstanding on a full screen, until q or Ctrl-C end the window, for at "
        "most 600 s unless --duration says otherwise",
    )
    group.add_argument(
        "--events",
        action="store_true",
        help="write a line for every allocation and every free as it comes",
    )


def duration_s(options: argparse.Namespace) -> float:
    """Return how many seconds the window may last: the shortest time that was asked for."""
    asked = [] if options.duration is None else [options.duration]
    if options.count:
        asked.append(options.count * options.interval)
    usual = LASTING_S if options.interval or options.live else Limits.duration_s
    return float(min(asked, default=usual))


def view(options: argparse.Namespace, pid: int) -> View | None:
    """Return what shows the window of a process while it is open; None if nothing does.

    Raises:
        UsageError: the options contradict each other.

    """
    if options.count and not options.interval:
        raise UsageError("--count counts the tables of --interval", "add --interval S")
    ways = {"--live": options.live, "--interval": options.interval, "--events": options.events}
    chosen = [name for name, value in ways.items() if value]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} exclude each other", "choose one")
    if options.interval and options.interval > duration_s(options):
        raise UsageError(
            f"--interval {options.interval:g} is longer than the window, {duration_s(options):g} s",
            "choose a shorter --interval or a longer --duration: a table is written after each",
        )
    if options.live:
        return _live(options, pid)
    if options.interval:
        return _tables(options)
    if options.events:
        return _events(options)
    return None


def _live(options: argparse.Namespace, pid: int) -> Live:
    """Return the full screen, after checking that it can be shown: nothing is attached yet."""
    advice = "use --interval S, which writes tables"
    if not sys.stdout.isatty():
        raise UsageError("--live needs a terminal, and standard output is not one", advice)
    if os.environ.get("TERM", "dumb") == "dumb":
        raise UsageError("--live needs a terminal that can draw: TERM is dumb, or not set", advice)
    try:
        terminal = Terminal()
    except OSError as error:
        raise UsageError(f"--live cannot open {PATH}: {error.strerror}", advice) from error
    try:
        if not terminal.is_ours:
            raise UsageError("--live cannot be shown from the background", advice)
        modes = terminal.read_modes()
    finally:
        terminal.close()
    sort = "blocks" if options.sort == "count" else options.sort
    return Live(pid, options.budget, sort, modes, color="NO_COLOR" not in os.environ)


def _events(options: argparse.Namespace) -> Events:
    _check_format(options, "--events", ("table", "plain"))
    return Events()


def _check_format(options: argparse.Namespace, name: str, formats: tuple[str, ...]) -> None:
    """Check that a report of this format does not go where text is written meanwhile."""
    if options.format and not options.output and options.format not in formats:
        raise UsageError(
            f"{name} writes text to standard output, where it would garble {options.format}",
            "add -o FILE, which the report then goes to",
        )


def _tables(options: argparse.Namespace) -> Tables:
    """Return the tables; as JSON they are one document after the other."""
    _check_format(options, "--interval", ("table", "plain", "json"))
    if options.format == "json" and not options.output:
        return Tables(options.interval, JsonRenderer(), False)
    renderer = InterimRenderer(options.top, choose_output().width)
    return Tables(options.interval, renderer, True)
