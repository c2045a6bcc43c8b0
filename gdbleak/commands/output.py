"""Where the output of a command goes, and how it looks there."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from gdbleak.errors import UndecidedError, UsageError, WriteError
from gdbleak.host.streams import discard_output
from gdbleak.renderers import FORMATS, BinaryRenderer, Renderer, format_for, make_renderer
from gdbleak.report.endings import find_doubt, find_doubt_of_search
from gdbleak.report.model import Report, Word

NOT_FOR_TERMINALS = ("pprof",)

LOST = "lost"
"""What --fail-on calls a leak that nothing refers to any more."""

FAIL_ON = (*(word.value for word in Word), LOST)
"""What --fail-on takes."""

FOUND = 6
"""Exit status when a verdict of --fail-on was found."""


class Medium(NamedTuple):
    """What an output is written to, and the format for that."""

    form: str
    """Name of a format."""
    is_terminal: bool
    columns: int
    """Width of the terminal; elsewhere what COLUMNS says, or 80."""

    @property
    def width(self) -> int | None:
        """Columns to fit into; None where lines may be as long as they come."""
        return self.columns if self.is_terminal else None

    @property
    def is_unicode(self) -> bool:
        """Whether more than ASCII can be shown."""
        encoding = (sys.stdout.encoding or "").lower()
        return encoding.startswith("utf") and os.environ.get("TERM") != "dumb"

    @property
    def color(self) -> bool:
        """Whether colours are wanted."""
        is_dumb = os.environ.get("TERM") == "dumb"
        return self.is_terminal and not is_dumb and "NO_COLOR" not in os.environ


def choose_output(form: str | None = None, path: str | None = None) -> Medium:
    """Return what an output is written to.

    Args:
        form: The format that was asked for. Without one it is `table` on a terminal, what the
            suffix says for a file, and `plain` elsewhere.
        path: The file to write, if the output does not go to standard output.

    Raises:
        UsageError: the suffix of the file names no format.

    """
    is_terminal = not path and sys.stdout.isatty()
    form = form or (format_for(path) if path else "table" if is_terminal else "plain")
    if form is None:
        raise UsageError(
            f"the suffix of {path} names no format", f"add --format, one of {', '.join(FORMATS)}"
        )
    return Medium(form, is_terminal, shutil.get_terminal_size().columns)


class Output:
    """Where a report goes; checked first, before a process is attached to."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Check the output options.

        Raises:
            UsageError: the format cannot be told from FILE's name.
            WriteError: FILE cannot be written.

        """
        self._path: str | None = options.output
        self._fail_on: tuple[str, ...] = options.fail_on
        if self._path:
            _check_not_read(self._path, options)
            check_writable(self._path)
        self._renderer = self._choose(options)

    def status(self, report: Report) -> int:
        """Return the exit status that --fail-on asks for, by the verdicts of a report.

        Raises:
            UndecidedError: the report has none of them, but does not cover what was asked for.

        """
        found = {site.verdict.word.value for site in report.leaking if site.verdict}
        if any(site.is_lost for site in report.leaking):
            found.add(LOST)
        if found.intersection(self._fail_on):
            return FOUND
        doubt = self._find_doubt(report)
        if doubt:
            reason, remedy = doubt
            words = " or ".join(f"`{word}`" for word in self._fail_on)
            raise UndecidedError(
                f"{reason}: no call stack is {words} in its report, which does not mean that none"
                " is",
                remedy,
            )
        return 0

    def _find_doubt(self, report: Report) -> tuple[str, str] | None:
        """Return why a report without the verdicts of --fail-on decides nothing; None if it does.

        That memory was not searched matters only to whoever asks for what is lost.
        """
        if not self._fail_on:
            return None
        doubt = find_doubt(report)
        return find_doubt_of_search(report) if doubt is None and LOST in self._fail_on else doubt

    def show(self, report: Report) -> None:
        """Write the report.

        Raises:
            WriteError: FILE cannot be written.

        """
        made = self._renderer.render(report)
        if not self._path:
            write_out(made)
            return
        path = Path(self._path)
        try:
            path.write_bytes(made.encode() if isinstance(made, str) else made)
        except OSError as error:
            if path.is_file():  # half a report misleads
                path.unlink()
            # Another one would need another window.
            write_out(made)
            raise WriteError(
                f"cannot write {self._path}: {error.strerror}; the report went to standard output"
            ) from error

    def _choose(self, options: argparse.Namespace) -> Renderer | BinaryRenderer:
        medium = choose_output(options.format, self._path)
        if medium.form in NOT_FOR_TERMINALS and medium.is_terminal:
            raise UsageError(
                f"{medium.form} is not text, and standard output is a terminal",
                "add -o FILE, or send the output to a file",
            )
        return make_renderer(
            medium.form,
            top=options.top,
            width=medium.width,
            color=medium.color,
            internals=options.internals,
            verbose=options.verbose,
        )


def write_out(made: str | bytes) -> None:
    """Write a report to standard output; a reader that stops early changes no exit status."""
    try:
        if isinstance(made, str):
            sys.stdout.write(made)
        else:
            sys.stdout.buffer.write(made)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()


def number_path(path: str, pid: int) -> str:
    """Return the path for one of several processes: with its PID before the suffix.

    >>> number_path("leak.json", 4711), number_path("a/b.speedscope.json", 4711)
    ('leak.4711.json', 'a/b.4711.speedscope.json')

    """
    name = Path(path).name
    suffixes = (suffix for form in FORMATS.values() for suffix in form.suffixes)
    fitting = [suffix for suffix in suffixes if name.lower().endswith(suffix)]
    length = max(map(len, [*fitting, Path(name).suffix]))
    return f"{path[: len(path) - length]}.{pid}{path[len(path) - length :]}"


def is_same_file(one: str, other: str) -> bool:
    """Whether two paths lead to one file, by links too; it need not exist yet."""
    try:
        return Path(one).samefile(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)


def _check_not_read(output: str, options: argparse.Namespace) -> None:
    """Check that the report does not take the place of what it is made of.

    Raises:
        UsageError: it would.

    """
    read = (getattr(options, "recording", None), *options.suppress, *options.skip_file)
    for path in read:
        if path and is_same_file(output, path):
            raise UsageError(f"the report would overwrite {path}", "name another file after -o")


def check_writable(path: str) -> None:
    """Check that a file can be written at `path`, by making it if it does not exist.

    Raises:
        WriteError: it cannot be written.

    """
    place = os.path.realpath(path)  # a link may lead to a file that does not exist yet
    try:
        try:
            file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            os.close(file)
            Path(place).unlink()
        except FileExistsError:
            # A FIFO that nobody reads would keep us waiting.
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}", "name another file") from error
