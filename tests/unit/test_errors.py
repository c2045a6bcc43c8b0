"""The tree of exceptions: as it is drawn, with help, and with documented exit codes."""

from __future__ import annotations

import errno
import inspect
import re
from typing import Any

import pytest

from gdbleak import cli, errors
from gdbleak.commands.output import FOUND

CLASSES: list[Any] = [c for _, c in inspect.getmembers(errors, inspect.isclass)]


def drawn_tree():
    """Return the parent of each class of the drawing."""
    parents, path = {}, []
    for line in errors.__doc__.splitlines():
        found = re.fullmatch(r"([ |`-]*)(\w+Error)", line)
        if found:
            depth = len(found[1]) // 4
            path = [*path[:depth], found[2]]
            parents[found[2]] = path[depth - 1] if depth else "Exception"
    return parents


def test_drawing_shows_every_class_below_its_parent():
    assert drawn_tree() == {c.__name__: c.__base__.__name__ for c in CLASSES}


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_says_what_to_do(error):
    raised = error("cause")
    assert (str(raised), bool(raised.help_text.strip())) == ("cause", True)
    assert "\n" not in raised.help_text
    assert error("cause", "cure").help_text == "cure"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.ENOTDIR, "name a folder"),
        (errno.EACCES, "name a folder"),
        (errno.EMFILE, "ulimit -n"),
    ],
)
def test_what_to_do_where_a_file_cannot_be_written(number, said):
    raised = errors.WriteError("cannot write it")
    raised.__cause__ = OSError(number, "reason")
    assert said in raised.help_text


def test_exit_codes_are_documented():
    epilog = cli.make_parser().format_help()
    documented = set(map(int, re.findall(r"^  (\d+)  ", epilog, re.MULTILINE)))
    assert documented == {0, FOUND, 130, *(c.exit_code for c in CLASSES)}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError, 2),
        (errors.TargetError, 3),
        (errors.DebuggerError, 4),
        (errors.FileError, 5),
    ],
)
def test_exit_code_of_a_family(error, code):
    assert {c.exit_code for c in CLASSES if issubclass(c, error)} == {code}
