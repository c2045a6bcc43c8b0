"""The arguments that several commands share: numbers, and what a report holds."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gdbleak.analysis.grouping import BY
from gdbleak.analysis.options import SORTS, ReportOptions
from gdbleak.bounds import Bounds, bounds_of
from gdbleak.commands.output import FAIL_ON
from gdbleak.errors import FileError
from gdbleak.renderers import FORMATS
from gdbleak.report.suppressions import Suppression
from gdbleak.report.suppressions import parse as parse_suppressions
from gdbleak.text.quantities import UNIT_OF, QuantityError, parse_bytes, parse_milliseconds

LISTED_BLOCKS = 1000
"""How many blocks of each call stack a report holds with --show-allocs."""

Number = TypeVar("Number", int, float)


def file_name(text: str) -> str:
    """Return the name of a file to write.

    Raises:
        ArgumentTypeError: it is empty, as a variable is that was never set.

    """
    if not text:
        raise argparse.ArgumentTypeError("the name of the file is empty")
    return text


def within(bounds: Bounds, parse: Callable[[str], Number]) -> Callable[[str], Number]:
    """Return an argument type: a number within bounds."""

    def check(text: str) -> Number:
        try:
            value = parse(text)
        except QuantityError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        except ValueError:
            kind = "a whole number" if parse is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind}") from None
        if value not in bounds:
            unit = f", {UNIT_OF[parse]}" if parse in UNIT_OF else ""
            raise argparse.ArgumentTypeError(f"{text} is out of range: {bounds}{unit}")
        return value

    return check


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options every command that shows a report has."""
    group = parser.add_argument_group("the report")
    group.add_argument(
        "--top",
        type=within(Bounds(1), int),
        default=10,
        metavar="N",
        help="show the N largest call stacks; json and csv hold all (default: %(default)s)",
    )
    group.add_argument(
        "--sort",
        choices=SORTS,
        default=ReportOptions.sort,
        help="order by verdict, leaks first, then by the strength of the evidence, and then by "
        "outstanding bytes; or by bytes, or number of blocks, alone (default: %(default)s)",
    )
    group.add_argument(
        "--older",
        type=within(bounds_of(ReportOptions, "older_ms"), parse_milliseconds),
        default=ReportOptions.older_ms,
        metavar="MS",
        help="only blocks at least MS milliseconds old at the end are outstanding; 2s and 1m are "
        "understood (default: %(default)g)",
    )
    group.add_argument(
        "--min-size",
        type=within(bounds_of(ReportOptions, "min_size"), parse_bytes),
        default=ReportOptions.min_size,
        metavar="BYTES",
        help="leave out smaller blocks; 4k, 1KiB and 2M are understood",
    )
    group.add_argument(
        "--max-size",
        type=within(bounds_of(ReportOptions, "max_size"), parse_bytes),
        metavar="BYTES",
        help="leave out larger blocks",
    )
    group.add_argument(
        "--max-frames",
        type=within(bounds_of(ReportOptions, "max_frames"), int),
        default=ReportOptions.max_frames,
        metavar="N",
        help="unwind at most N frames of a stack (default: %(default)s)",
    )
    group.add_argument(
        "--skip",
        type=_glob,
        action="append",
        default=[],
        metavar="FUNCTION",
        help="name the caller of FUNCTION instead of FUNCTION; a glob such as 'my_alloc*'; may be "
        "repeated",
    )
    group.add_argument(
        "--skip-file",
        action="append",
        default=[],
        metavar="FILE",
        help="--skip each line of FILE; those that begin with # are comments",
    )
    group.add_argument(
        "--skip-module",
        type=_glob,
        action="append",
        default=[],
        metavar="FILE",
        help="name no caller in this program or library, by file name or path, such as "
        "'libfoo*'; may be repeated",
    )
    group.add_argument(
        "--by",
        choices=BY,
        default=ReportOptions.by,
        help="what makes a row: a call stack; the function, line or module of callers; a thread; "
        "or a range of sizes (default: %(default)s)",
    )
    group.add_argument(
        "--suppress",
        action="append",
        default=[],
        metavar="FILE",
        help="leave out call stacks by the suppressions in FILE, in the syntax of LeakSanitizer: "
        "lines such as leak:FUNCTION",
    )
    group.add_argument(
        "--fail-on",
        type=_words,
        default=(),
        metavar="VERDICT",
        help="return 6 if a call stack has this verdict, such as `leak`, or is `lost`: a leak that "
        "nothing refers to any more; return 1 if none has it and the window did not end as asked; "
        f"several with commas: {', '.join(FAIL_ON)}",
    )
    group.add_argument(
        "-a",
        "--show-allocs",
        action="store_true",
        help="list address, size and age of outstanding blocks under each stack, the 20 oldest "
        f"(json: {LISTED_BLOCKS:,})",
    )
    group.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="show the stack of every row, and everything about the window",
    )
    group.add_argument(
        "--internals",
        action="store_true",
        help="show frames inside of libstdc++, Boost and the like one by one",
    )
    group.add_argument(
        "--format",
        choices=tuple(FORMATS),
        metavar="NAME",
        help=f"one of {', '.join(FORMATS)}; default: what FILE's suffix says, else table on a "
        "terminal and plain elsewhere",
    )
    group.add_argument(
        "-o",
        "--output",
        type=file_name,
        metavar="FILE",
        help="write the report to FILE instead; the format follows its suffix: .txt, .md, .csv, "
        ".json, .html, .folded, .speedscope.json or .pb.gz",
    )


def add_layout_arguments(parser: argparse.ArgumentParser, what: str, top: int) -> None:
    """Add the options of every command that shows a list of its own.

    Args:
        parser: Parser of the command.
        what: What the list shows, in the plural.
        top: How many of them are shown by default.

    """
    parser.add_argument(
        "--top",
        type=within(Bounds(1), int),
        default=top,
        metavar="N",
        help=f"show the first N {what}; json holds all (default: %(default)s)",
    )
    add_format_argument(parser)


def add_format_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option for the format of what is no report."""
    parser.add_argument(
        "--format",
        choices=("table", "plain", "json"),
        help="default: table on a terminal and plain elsewhere",
    )


def _words(text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(","))
    for word in words:
        if word not in FAIL_ON:
            raise argparse.ArgumentTypeError(f"{word!r} is not one of {', '.join(FAIL_ON)}")
    return words


def _glob(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty")
    return text.strip()


def _read_suppressions(path: str) -> tuple[Suppression, ...]:
    return parse_suppressions(_read_lines(path, "give --suppress a file of suppressions"), path)


def _read_lines(path: str, advice: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise FileError(f"cannot read {path}: {reason}", advice) from error


def _read_globs(path: str) -> list[str]:
    """Return the functions that a file lists, one a line."""
    advice = "give --skip-file a text file, one function a line"
    lines = map(str.strip, _read_lines(path, advice))
    return [line for line in lines if line and not line.startswith("#")]


def report_options(options: argparse.Namespace) -> ReportOptions:
    """Return what the report should be about.

    Raises:
        UsageError: the options contradict each other.
        FileError: a file of functions cannot be read.

    """
    return ReportOptions(
        min_size=options.min_size,
        max_size=options.max_size,
        older_ms=options.older,
        sort=options.sort,
        max_frames=options.max_frames,
        listed_blocks=LISTED_BLOCKS if options.show_allocs else 0,
        by=options.by,
        suppressions=tuple(s for path in options.suppress for s in _read_suppressions(path)),
        skip_modules=tuple(options.skip_module),
        skip=(*options.skip, *(glob for path in options.skip_file for glob in _read_globs(path))),
    )
