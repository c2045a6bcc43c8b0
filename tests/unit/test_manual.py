"""The manual page is what the parser says, all of it, and `man` understands it."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gdbleak import __version__
from gdbleak.cli import make_parser
from gdbleak.renderers.manual import make_manual

PAGE = Path(__file__).parents[2] / "docs" / "gdbleak.1"
PARSER = make_parser()
COMMANDS = next(a for a in PARSER._actions if isinstance(a, argparse._SubParsersAction)).choices


def test_page_is_up_to_date():
    assert PAGE.read_text() == make_manual(make_parser(), __version__), "run `make man`"


def section(command):
    """Return what the page says of a command, as text."""
    text = PAGE.read_text().split(f".SS {command}\n")[1]
    return re.split(r"\n\.S[SH] ", text)[0].replace("\\-", "-")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_there(command):
    text = section(command)
    for action in COMMANDS[command]._actions:
        for option in action.option_strings[-1:]:
            if option != "--help":
                assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), option


def test_exit_statuses_and_examples_are_there():
    text = PAGE.read_text()
    assert ".SH EXAMPLES\n" in text
    assert ".SH EXIT STATUS\n" in text
    assert "130  interrupted" in text


def test_what_roff_would_take_for_a_command():
    parser = argparse.ArgumentParser(description=".TH evil\n'quoted \\fBbold")
    parser.add_subparsers().add_parser("it", help="do it").add_argument("--it", help=".SH 100%%")
    lines = make_manual(parser, "1").splitlines()
    assert [line for line in lines if "evil" in line] == ["\\&.TH evil"]
    assert "\\&'quoted \\efBbold" in lines
    assert "\\&.SH 100%" in lines


@pytest.mark.skipif(not shutil.which("groff"), reason="there is no groff")
def test_groff_finds_nothing_wrong():
    result = subprocess.run(
        ["groff", "-man", "-ww", "-Tascii", str(PAGE)], capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    assert "--skip-module" in result.stdout
