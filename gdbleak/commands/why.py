"""`gdbleak why`: who holds a block?"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from gdbleak.bounds import bounds_of
from gdbleak.commands.arguments import add_format_argument, within
from gdbleak.commands.core_arguments import add_core_arguments, describe_examined, open_examined
from gdbleak.commands.output import choose_output
from gdbleak.debugger.program import GdbProgram, find_gdb
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import DebuggerError
from gdbleak.renderers.ways import as_json, as_text
from gdbleak.report.ways import Answer
from gdbleak.survey.wish import Wish
from gdbleak.text.lines import printable
from gdbleak.text.quantities import parse_bytes, parse_seconds
from gdbleak.text.units import format_seconds

if TYPE_CHECKING:
    from gdbleak.target.examined import Examined

_HIGHEST = (1 << 47) - 1


class Why:
    """Say what holds a block of a process: the way from a root to it."""

    summary = "say what holds a block: a variable, a stack, a list"
    description = (
        "Search the memory of a process, or a core file of one, for what refers to the block at an "
        "address, for what refers to that, and so on, up to variables, stacks and registers. The "
        "process is neither attached to nor stopped. Ctrl-C ends the search with what was found."
    )
    examples = """\
  gdbleak why 4711 0x55d0c8a3f2a0       who holds this block?
  gdbleak why redis-server 0x7f2e4c000b70 --time 60
  gdbleak why core.4711 0x55d0c8a3f2a0  # in the memory that a core file holds
  gdbleak why 4711 0x55d0c8a3f2a0 --format json | jq '.ways[0]'
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_core_arguments(parser)
        parser.add_argument(
            "address",
            metavar="ADDRESS",
            type=parse_address,
            help="any address in the block, such as 0x55d0c8a3f2a0; reports list those of blocks "
            "with -a",
        )
        parser.add_argument(
            "--size",
            type=within(bounds_of(Wish, "size"), parse_bytes),
            metavar="BYTES",
            help="take what begins at ADDRESS for a block of this size, whatever it is",
        )
        parser.add_argument(
            "--time",
            type=within(bounds_of(Wish, "time_s"), parse_seconds),
            default=Wish.time_s,
            metavar="S",
            help="end the search after S seconds, with what was found (default: %(default)g)",
        )
        parser.add_argument(
            "--max-memory",
            type=within(bounds_of(Wish, "max_memory"), parse_bytes),
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
        wish = Wish(options.time, options.max_memory, options.size, options.top)
        medium = choose_output(options.format)
        with (
            ImageCache() as images,
            open_examined(options, images, "why", f" {options.address:#x}") as process,
        ):
            for note in process.notes:
                sys.stderr.write(f"gdbleak: {printable(note)}\n")
            answer = _search(process, images, options.address, wish)
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


def _search(process: Examined, images: ImageCache, address: int, wish: Wish) -> Answer:
    """Return the ways. What finds them takes time to load.

    Raises:
        TargetError: see `find_ways`.

    """
    from gdbleak.survey.ways import find_ways

    def tell() -> None:
        sys.stderr.write(
            f"gdbleak: looking for what holds {address:#x} in {describe_examined(process)},"
            f" for at most {format_seconds(wish.time_s)} (Ctrl-C ends it early)\n"
        )

    return find_ways(process, images, address, wish, _find_gdb(), tell)


def _find_gdb() -> GdbProgram | None:
    """Return what reads names; without it they are as the linker has them."""
    try:
        return find_gdb()
    except DebuggerError as error:
        sys.stderr.write(f"gdbleak: without a gdb, names lack lines: {error}\n")
        return None
