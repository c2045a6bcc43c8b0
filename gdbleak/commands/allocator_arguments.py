"""The options that say which allocators are recorded."""

from __future__ import annotations

import argparse

from gdbleak.errors import UsageError
from gdbleak.plan.selection import Selection, parse_function
from gdbleak.plan.sizes import Sizes, parse_sizes


def add_selection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that looks for allocators in a process."""
    group = parser.add_argument_group("what is recorded")
    group.add_argument(
        "--usable-sizes",
        action="store_true",
        help="with glibc, take sizes from the blocks instead of the calls: each allocation needs "
        "one halt less, and sizes are rounded up",
    )
    group.add_argument(
        "--mappings",
        action="store_true",
        help="also record mmap, munmap, mremap, sbrk and brk by the program itself",
    )
    group.add_argument(
        "--size",
        type=_sizes,
        metavar="N",
        help="record only blocks of this size, or of sizes LOW-HIGH, in bytes that the program may "
        "use: 24 with glibc are requests of 0 to 24 bytes, 40 those of 25 to 40",
    )
    group.add_argument(
        "--alloc",
        action="append",
        default=[],
        metavar="NAME:size=N",
        help="also record this function, whose argument N (from 1) is the requested size; "
        "`,count=N` multiplies it, `,ptr=N` is the block it resizes, `,result=N` says where the "
        "block is stored if it is not returned. May be repeated",
    )
    group.add_argument(
        "--free",
        action="append",
        default=[],
        metavar="NAME:ptr=N",
        help="also record this function, whose argument N frees a block. May be repeated",
    )
    group.add_argument(
        "--symbols-prefix",
        action="append",
        default=[],
        metavar="PREFIX",
        help="also record an allocator whose functions are called PREFIXmalloc, PREFIXfree and so "
        "on. May be repeated",
    )
    group.add_argument(
        "--object",
        action="append",
        default=[],
        metavar="PATH",
        help="record only the functions of this program or library, by path or file name. May be "
        "repeated",
    )


def _sizes(text: str) -> Sizes:
    try:
        return parse_sizes(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(f"{error}; {error.help_text}") from None


def selection(options: argparse.Namespace) -> Selection:
    """Return what should be recorded.

    Raises:
        UsageError: a function is described in a way that makes no sense.

    """
    return Selection(
        functions=(
            *(parse_function(text, allocates=True) for text in options.alloc),
            *(parse_function(text, allocates=False) for text in options.free),
        ),
        prefixes=tuple(options.symbols_prefix),
        objects=tuple(options.object),
        usable_sizes=options.usable_sizes,
        mappings=options.mappings,
        sizes=options.size,
    )
