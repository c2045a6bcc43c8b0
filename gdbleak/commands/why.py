"""`gdbleak why`: who holds a block?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from gdbleak.bounds import bounds_of
from gdbleak.commands.arguments import add_format_argument, parse_size, within
from gdbleak.commands.output import choose_output
from gdbleak.commands.process_argument import add_process_argument, choose_process, describe_target
from gdbleak.debugger.program import GdbProgram, find_gdb
from gdbleak.errors import DebuggerError, TargetError
from gdbleak.renderers.ways import as_json, as_text
from gdbleak.report.ways import Answer
from gdbleak.survey.wish import Wish
from gdbleak.text.units import format_seconds

_HIGHEST = (1 << 47) - 1


class Why:
    """Say what holds a block of a process: the way from a root to it."""

    summary = "say what holds a block: a variable, a stack, a list"
    description = (
        "Search the memory of a process for what refers to the block at an address, for what "
        "refers to that, and so on, up to variables, stacks and registers. The process is neither "
        "attached to nor stopped. Ctrl-C ends the search with what was found."
    )
    examples = """\
  gdbleak why 4711 0x55d0c8a3f2a0       who holds this block?
  gdbleak why redis-server 0x7f2e4c000b70 --time 60
  gdbleak why 4711 0x55d0c8a3f2a0 --format json | jq '.ways[0]'
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_process_argument(parser, "look at")
        parser.add_argument(
            "address",
            metavar="ADDRESS",
            type=parse_address,
            help="any address in the block, such as 0x55d0c8a3f2a0; reports list those of blocks "
            "with -a",
        )
        parser.add_argument(
            "--size",
            type=within(bounds_of(Wish, "size"), parse_size),
            metavar="BYTES",
            help="take what begins at ADDRESS for a block of this size, whatever it is",
        )
        parser.add_argument(
            "--time",
            type=within(bounds_of(Wish, "time_s"), float),
            default=Wish.time_s,
            metavar="S",
            help="end the search after S seconds, with what was found (default: %(default)g)",
        )
        parser.add_argument(
            "--max-memory",
            type=within(bounds_of(Wish, "max_memory"), parse_size),
            default=Wish.max_memory,
            metavar="BYTES",
            help="how much memory an index of all references may take, at 8 bytes each; without "
            "room for it, all memory is read again for each step (default: "
            f"{Wish.max_memory >> 30}G)",
        )
        parser.add_argument(
            "--top",
            type=within(bounds_of(Wish, "ways"), int),
            default=Wish.ways,
            metavar="N",
            help="find at most N ways (default: %(default)s)",
        )
        add_format_argument(parser)

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        pid = choose_process(options.process, "why", f" {options.address:#x}")
        wish = Wish(options.time, options.max_memory, options.size, options.top)
        medium = choose_output(options.format)

        def tell() -> None:
            sys.stderr.write(
                f"gdbleak: looking for what holds {options.address:#x} in {describe_target(pid)},"
                f" for at most {format_seconds(options.time)} (Ctrl-C ends it early)\n"
            )

        answer = _search(pid, options.address, wish, tell)
        if medium.form == "json":
            sys.stdout.write(as_json(answer))
        else:
            sys.stdout.write(as_text(answer, medium.width))
        return 0


def parse_address(text: str) -> int:
    """Return an address: hexadecimal, with or without 0x, or decimal."""
    try:
        value = int(text, 16 if text[:2].lower() == "0x" or not text.isdecimal() else 10)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address") from None
    if not 0 < value <= _HIGHEST:
        raise argparse.ArgumentTypeError(f"{text} is not an address of a process")
    return value


def _search(pid: int, address: int, wish: Wish, on_begin: Callable[[], None]) -> Answer:
    """Return the ways. What finds them takes time to load.

    Raises:
        TargetError: see `find_ways`; or numpy is missing, as it may be where gdbleak runs from a
            folder.

    """
    try:
        from gdbleak.survey.ways import find_ways
    except ModuleNotFoundError as error:
        raise TargetError(
            f"to search memory takes the Python package {error.name}, which is missing",
            f"run `pip install {error.name}`",
        ) from error
    return find_ways(pid, address, wish, _find_gdb(), on_begin)


def _find_gdb() -> GdbProgram | None:
    """Return what reads names; without it they are as the linker has them."""
    try:
        return find_gdb()
    except DebuggerError as error:
        sys.stderr.write(f"gdbleak: without a gdb, names lack lines: {error}\n")
        return None
