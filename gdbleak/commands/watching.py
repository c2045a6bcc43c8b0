"""The options that show a window while it is open."""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from gdbleak.bounds import Bounds
from gdbleak.commands.output import within
from gdbleak.capture.limits import Limits
from gdbleak.errors import UsageError
from gdbleak.follow.live import Live
from gdbleak.follow.tables import Tables
from gdbleak.follow.terminal import PATH, Terminal
from gdbleak.follow.view import View
from gdbleak.renderers import make_renderer
from gdbleak.renderers.interim import InterimRenderer

LASTING_S = 600.0
"""How long a window is that is watched, unless that was said: nobody has to wait for its end."""

INTERVAL = Bounds(0.1, 86400)


def add_watching_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("while the window is open")
    group.add_argument(
        "--interval",
        type=within(INTERVAL, float),
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


def duration_s(options: argparse.Namespace) -> float:
    """Return how long the window may be: the shortest that was asked for."""
    asked = [] if options.duration is None else [options.duration]
    if options.count:
        asked.append(options.count * options.interval)
    usual = LASTING_S if options.interval or options.live else Limits.duration_s
    return float(min(asked, default=usual))


def view(options: argparse.Namespace) -> View | None:
    """Return what shows the window while it is open; None for nothing.

    Raises:
        UsageError: the options contradict each other.

    """
    if options.count and not options.interval:
        raise UsageError("--count counts the tables of --interval", "add --interval S")
    if options.live:
        if options.interval:
            raise UsageError("--live and --interval are two ways to look", "choose one")
        return _live(options)
    return _tables(options) if options.interval else None


def _live(options: argparse.Namespace) -> Live:
    """Return the full screen; it must be had before anything is attached to."""
    advice = "use --interval S, which writes tables"
    if not sys.stdout.isatty():
        raise UsageError("--live needs a terminal, and standard output is none", advice)
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
    return Live(options.pid, options.budget, modes, color="NO_COLOR" not in os.environ)


def _tables(options: argparse.Namespace) -> Tables:
    """Return the tables; a format for programs is written as it is, where nothing else is."""
    name = None if options.output else options.format
    if name not in (None, "table", "plain", "json"):
        raise UsageError(
            f"--interval writes tables, not {name}", f"add -o FILE, for the report at the end"
        )
    if name == "json":
        return Tables(options.interval, make_renderer(name, top=0, width=None, color=False), False)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return Tables(options.interval, InterimRenderer(options.top, width), True)
