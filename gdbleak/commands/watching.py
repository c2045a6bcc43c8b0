"""The options that show a window while it is open."""

from __future__ import annotations

import argparse
import shutil
import sys

from gdbleak.bounds import Bounds
from gdbleak.commands.output import within
from gdbleak.capture.limits import Limits
from gdbleak.errors import UsageError
from gdbleak.follow.tables import Tables
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


def duration_s(options: argparse.Namespace) -> float:
    """Return how long the window may be: the shortest that was asked for."""
    asked = [] if options.duration is None else [options.duration]
    if options.count:
        asked.append(options.count * options.interval)
    usual = LASTING_S if options.interval else Limits.duration_s
    return float(min(asked, default=usual))


def view(options: argparse.Namespace) -> View | None:
    """Return what shows the window while it is open; None for nothing.

    Raises:
        UsageError: the options contradict each other.

    """
    if options.count and not options.interval:
        raise UsageError("--count counts the tables of --interval", "add --interval S")
    if options.interval:
        return _tables(options)
    return None


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
