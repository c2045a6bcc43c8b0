"""What the documentation says of the command line is what the command line has."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from gdbleak.cli import make_parser
from gdbleak.recording.end import EndedBy

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(path.read_text() for path in FILES)
# Of other programs that the documentation tells to run.
OTHERS = {"--attach", "--multi", "--readnever", "--cap-add", "--rounds", "--seconds", "--only"}
MEMLEAKS = {
    *("--trace", "--combined-only", "--wa-missing-free", "--sample-rate"),
    *("--obj", "--percpu", "--stack-storage-size", "--perf-max-stack-depth", "--ebpf"),
}
"""Options of memleak that gdbleak has none of the same name for: docs/from-memleak.md."""


def subparsers():
    """Return the parser of each command by its name."""
    for action in make_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    raise AssertionError("no commands")


COMMANDS = subparsers()
OPTIONS = sorted(
    {
        option
        for parser in (make_parser(), *COMMANDS.values())
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    }
)


@pytest.mark.parametrize("option", [o for o in OPTIONS if o != "--help"])
def test_option_is_documented(option):
    assert re.search(rf"(?<![\w-]){option}(?![\w-])", TEXT)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_documented(command):
    assert re.search(rf"\bgdbleak {command}\b", TEXT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_documented_options_exist(path):
    found = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+(?=[\s=`.,;:)\]|]|$)", path.read_text()))
    others = OTHERS | MEMLEAKS if path.name == "from-memleak.md" else OTHERS
    assert found - others <= set(OPTIONS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_every_option(command):
    text = COMMANDS[command].format_help()
    for action in COMMANDS[command]._actions:
        for option in action.option_strings:
            assert option in text
        assert action.help not in (None, "", argparse.SUPPRESS), action


@pytest.mark.parametrize("reason", EndedBy)
def test_every_end_of_a_window_is_documented(reason):
    assert f"`{reason.value}`" in TEXT or f'"{reason.value}"' in TEXT


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / link).exists(), link


def test_files_that_messages_name_exist():
    for source in (ROOT / "gdbleak").rglob("*.py"):
        for name in re.findall(r"docs/[\w.-]+\.(?:md|json)", source.read_text()):
            assert (ROOT / name).exists(), f"{source.name} names {name}"
