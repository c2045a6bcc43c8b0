"""The options that say what a report holds, how it looks and where it goes."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gdbleak.analysis.grouping import BY
from gdbleak.analysis.options import SORTS, ReportOptions
from gdbleak.bounds import Bounds, bounds_of
from gdbleak.errors import FileError, UndecidedError, UsageError, WriteError
from gdbleak.host.streams import discard_output
from gdbleak.renderers import FORMATS, BinaryRenderer, Renderer, format_for, make_renderer
from gdbleak.report.endings import find_doubt
from gdbleak.report.model import Report, Word
from gdbleak.report.suppressions import Suppression
from gdbleak.report.suppressions import parse as parse_suppressions

LISTED_BLOCKS = 1000
"""How many blocks of a call stack a report holds that was asked for them."""

Number = TypeVar("Number", int, float)


def parse_size(text: str) -> int:
    """Return a number of bytes; `k`, `M` and `G` multiply by powers of 1024."""
    factor = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(text[-1:].lower(), 1)
    return int(text if factor == 1 else text[:-1]) * factor


def within(bounds: Bounds, parse: Callable[[str], Number]) -> Callable[[str], Number]:
    """Return an argument type: a number within bounds."""

    def check(text: str) -> Number:
        try:
            value = parse(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if value not in bounds:
            raise argparse.ArgumentTypeError(f"{text} is out of range: {bounds}")
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
        help="show the N largest call stacks; json and csv hold all (default: 10)",
    )
    group.add_argument(
        "--sort",
        choices=SORTS,
        default=ReportOptions.sort,
        help="order by verdict, leaks first, and then by outstanding bytes; or by bytes, or number "
        "of blocks, alone (default: verdict)",
    )
    group.add_argument(
        "--older",
        type=within(bounds_of(ReportOptions, "older_ms"), float),
        default=ReportOptions.older_ms,
        metavar="MS",
        help="only blocks at least MS milliseconds old at the end are outstanding (default: 500)",
    )
    group.add_argument(
        "--min-size",
        type=within(bounds_of(ReportOptions, "min_size"), parse_size),
        default=ReportOptions.min_size,
        metavar="BYTES",
        help="leave out smaller blocks; 4k and 2M are understood",
    )
    group.add_argument(
        "--max-size",
        type=within(bounds_of(ReportOptions, "max_size"), parse_size),
        metavar="BYTES",
        help="leave out larger blocks",
    )
    group.add_argument(
        "--max-frames",
        type=within(bounds_of(ReportOptions, "max_frames"), int),
        default=ReportOptions.max_frames,
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
        "--by",
        choices=BY,
        default=ReportOptions.by,
        help="what makes a row: a call stack; the function, line or module of callers; a thread; "
        "or a range of sizes (default: stack)",
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
        help="return 6 if a call stack has this verdict, such as `leak`; 1 if none has, and the "
        "window did not end as asked; several with commas: "
        f"{', '.join(Word)}",
    )
    group.add_argument(
        "-a",
        "--show-allocs",
        action="store_true",
        help="list address, size and age of outstanding blocks under each stack, the 20 oldest "
        f"(json: {LISTED_BLOCKS:,})",
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
        metavar="FILE",
        help="write the report to FILE instead; the format follows its suffix: .txt, .md, .csv, "
        ".json, .html, .folded, .speedscope.json or .pb.gz",
    )


def _words(text: str) -> tuple[Word, ...]:
    known = [word.value for word in Word]
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in known:
            raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(known)}")
    return tuple(map(Word, words))


def _glob(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a function has a name")
    return text.strip()


def _read_suppressions(path: str) -> tuple[Suppression, ...]:
    return parse_suppressions(_read_lines(path, "give --suppress a file of suppressions"), path)


def _read_lines(path: str, advice: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise FileError(f"cannot read {path}: {reason}", advice) from error


def _read_globs(path: str) -> list[str]:
    """Return the functions that a file lists, one a line."""
    advice = "give --skip-file a text file, one function a line"
    lines = map(str.strip, _read_lines(path, advice))
    return [line for line in lines if line and not line.startswith("#")]


def report_options(options: argparse.Namespace) -> ReportOptions:
    """Return what the report is to be about.

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
        skip=(*options.skip, *(glob for path in options.skip_file for glob in _read_globs(path))),
    )


NOT_FOR_TERMINALS = ("pprof",)

FOUND = 6
"""Exit status when a verdict of --fail-on was found."""


class Output:
    """Where a report goes, checked before anything is done for it."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Check the output options.

        Raises:
            UsageError: the format cannot be told from FILE's name.
            WriteError: FILE cannot be written.

        """
        self._path: str | None = options.output
        self._fail_on: tuple[Word, ...] = options.fail_on
        if self._path:
            check_writable(self._path)
        self._renderer = self._choose(options)

    def status(self, report: Report) -> int:
        """Return the exit status that the user has asked for, by the verdicts of a report.

        Raises:
            UndecidedError: it has none of them, and cannot be relied on for that.

        """
        found = {site.verdict.word for site in report.leaking if site.verdict}
        if found.intersection(self._fail_on):
            return FOUND
        doubt = find_doubt(report) if self._fail_on else None
        if doubt:
            reason, remedy = doubt
            words = " or ".join(f"`{word}`" for word in self._fail_on)
            raise UndecidedError(
                f"{reason}: no call stack is {words} in its report, which does not mean that none"
                " is",
                remedy,
            )
        return 0

    def show(self, report: Report) -> None:
        """Write the report.

        Raises:
            WriteError: FILE cannot be written.

        """
        made = self._renderer.render(report)
        if not self._path:
            _write_out(made)
            return
        path = Path(self._path)
        try:
            path.write_bytes(made.encode() if isinstance(made, str) else made)
        except OSError as error:
            if path.is_file():  # half a report is none
                path.unlink()
            # It took a window to make it.
            _write_out(made)
            raise WriteError(
                f"cannot write {self._path}: {error.strerror}; the report went to standard output"
            ) from error

    def _choose(self, options: argparse.Namespace) -> Renderer | BinaryRenderer:
        terminal = not self._path and sys.stdout.isatty()
        name = options.format or (self._path and format_for(self._path))
        if name in NOT_FOR_TERMINALS and terminal:
            raise UsageError(
                f"{name} is no text, and standard output is a terminal",
                "add -o FILE, or send the output to a file",
            )
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


def _write_out(made: str | bytes) -> None:
    """Write a report to standard output; that its reader has seen enough changes no exit status."""
    try:
        if isinstance(made, str):
            sys.stdout.write(made)
        else:
            sys.stdout.buffer.write(made)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()


def check_writable(path: str) -> None:
    """Check that a file can be made at `path`, by making it if there is none.

    Raises:
        WriteError: it cannot.

    """
    place = os.path.realpath(path)  # a link may lead to where there is no file yet
    try:
        try:
            file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            os.close(file)
            Path(place).unlink()
        except FileExistsError:
            with Path(path).open("ab"):
                pass
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}", "name another file") from error
