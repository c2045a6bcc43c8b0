"""The options that say what a report holds, how it looks and where it goes."""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TypeVar

from gdbleak.analysis import ReportOptions
from gdbleak.errors import FileError, UsageError, WriteError
from gdbleak.renderers import FORMATS, Renderer, format_for, make_renderer
from gdbleak.report import Report

Number = TypeVar("Number", int, float)


def parse_size(text: str) -> int:
    """Return a number of bytes; `k`, `M` and `G` multiply by powers of 1024."""
    factor = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(text[-1:].lower(), 1)
    return int(text if factor == 1 else text[:-1]) * factor


def at_least(low: Number, parse: Callable[[str], Number]) -> Callable[[str], Number]:
    """Return an argument type: a number from `low` upwards."""
    return between(low, None, parse)


def between(
    low: Number, high: Number | None, parse: Callable[[str], Number]
) -> Callable[[str], Number]:
    """Return an argument type: a number from `low` to `high`."""

    def check(text: str) -> Number:
        try:
            value = parse(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if not low <= value < float("inf") or (high is not None and value > high):
            upwards = "upwards" if high is None else f"to {high}"
            raise argparse.ArgumentTypeError(f"{text} is out of range: from {low} {upwards}")
        return value

    return check


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options every command that shows a report has."""
    group = parser.add_argument_group("the report")
    group.add_argument(
        "--top",
        type=at_least(1, int),
        default=10,
        metavar="N",
        help="show the N largest call stacks; json and csv hold all (default: 10)",
    )
    group.add_argument(
        "--sort",
        choices=("bytes", "count"),
        default="bytes",
        help="order by outstanding bytes or by number of blocks (default: bytes)",
    )
    group.add_argument(
        "--older",
        type=at_least(0, float),
        default=500.0,
        metavar="MS",
        help="only blocks at least MS milliseconds old at the end are outstanding (default: 500)",
    )
    group.add_argument(
        "--min-size",
        type=at_least(0, parse_size),
        default=0,
        metavar="BYTES",
        help="leave out smaller blocks; 4k and 2M are understood",
    )
    group.add_argument(
        "--max-size",
        type=at_least(0, parse_size),
        metavar="BYTES",
        help="leave out larger blocks",
    )
    group.add_argument(
        "--max-frames",
        type=at_least(1, int),
        default=64,
        metavar="N",
        help="unwind at most N frames of a stack (default: 64)",
    )
    group.add_argument(
        "--skip",
        type=_glob,
        action="append",
        default=[],
        metavar="FUNCTION",
        help="do not name FUNCTION as a caller, but who called it; a glob such as 'my_alloc*', may "
        "be repeated",
    )
    group.add_argument(
        "--skip-file",
        action="append",
        default=[],
        metavar="FILE",
        help="--skip each line of FILE; those that begin with # are comments",
    )
    group.add_argument(
        "--format",
        choices=tuple(FORMATS),
        help="default: what FILE's suffix says, else table on a terminal and plain elsewhere",
    )
    group.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the report to FILE instead; the format follows .txt, .md, .csv or .json",
    )


def _glob(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a function has a name")
    return text.strip()


def _read_globs(path: str) -> list[str]:
    """Return the functions that a file lists, one a line."""
    try:
        lines = map(str.strip, Path(path).read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise FileError(
            f"cannot read {path}: {reason}", "give --skip-file a text file, one function a line"
        ) from error
    return [line for line in lines if line and not line.startswith("#")]


def report_options(options: argparse.Namespace) -> ReportOptions:
    """Return what the report is to be about.

    Raises:
        UsageError: the options contradict each other.
        FileError: a file of functions cannot be read.

    """
    if options.max_size is not None and options.max_size < options.min_size:
        raise UsageError("--max-size is below --min-size", "swap them, or leave one out")
    return ReportOptions(
        min_size=options.min_size,
        max_size=options.max_size,
        older_ms=options.older,
        sort=options.sort,
        max_frames=options.max_frames,
        skip=(*options.skip, *(glob for path in options.skip_file for glob in _read_globs(path))),
    )


class Output:
    """Where a report goes, checked before anything is done for it."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Check the output options.

        Raises:
            UsageError: the format cannot be told from FILE's name.
            WriteError: FILE cannot be written.

        """
        self._path: str | None = options.output
        if self._path:
            check_writable(self._path)
        self._renderer = self._choose(options)

    def show(self, report: Report) -> None:
        """Write the report.

        Raises:
            WriteError: FILE cannot be written.

        """
        text = self._renderer.render(report)
        if not self._path:
            sys.stdout.write(text)
            return
        try:
            Path(self._path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise WriteError(f"cannot write {self._path}: {error.strerror}") from error

    def _choose(self, options: argparse.Namespace) -> Renderer:
        terminal = not self._path and sys.stdout.isatty()
        name = options.format or (self._path and format_for(self._path))
        if name is None and self._path:
            raise UsageError(
                f"the suffix of {self._path} names no format",
                f"add --format, one of {', '.join(FORMATS)}",
            )
        return make_renderer(
            name or ("table" if terminal else "plain"),
            top=options.top,
            width=shutil.get_terminal_size().columns if terminal else None,
            color=terminal and "NO_COLOR" not in os.environ,
        )


@contextmanager
def standard_output() -> Iterator[None]:
    """Write what goes to standard output for good, and say when that fails.

    Raises:
        WriteError: there was no room for it.

    """
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal may not speak UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:  # it was about a file, not about the output
            raise
        # Python would try to flush again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if error.errno != errno.EPIPE:  # a reader that has gone has seen enough
            raise WriteError(f"cannot write the output: {error.strerror}") from error
        sys.exit(0)


def check_writable(path: str) -> None:
    """Check that a file can be made at `path`, by making it if there is none.

    Raises:
        WriteError: it cannot.

    """
    is_new = not Path(path).exists()
    try:
        with Path(path).open("ab"):
            pass
        if is_new:
            Path(path).unlink()
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}", "name another file") from error
