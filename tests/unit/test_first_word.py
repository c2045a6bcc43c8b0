"""Command lines that do not begin with a command."""

from __future__ import annotations

import pytest

from gdbleak import cli
from gdbleak.commands.first_word import find_command
from gdbleak.errors import UsageError
from gdbleak.target.processes import Found


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """Return the names that processes have, which a test may add to."""
    names = ["httpd", "reporter"]

    def find(word):
        partly = [2 for name in names if word in name and word != name]
        return Found([1] if word in names else [], partly)

    monkeypatch.setattr("gdbleak.target.processes.find_processes", find)
    return names


@pytest.mark.parametrize(
    "line",
    ["trace 1", "report x", "-h", "--help", "--version", "--he", "--vers", "doctor"],
)
def test_left_as_it_is(line):
    assert find_command(line.split(), cli._COMMANDS) == line.split()


@pytest.mark.parametrize(
    "line",
    [
        *("4711", "4711 4712 --duration 5", "-p 4711", "--pid=4711", "--duration 5 4711"),
        *("httpd", "httpd --all -o x.html", "http", "-1"),
    ],
)
def test_means_trace(line):
    assert find_command(line.split(), cli._COMMANDS) == ["trace", *line.split()]


def test_command_goes_before_a_process_of_its_name(names):
    names.append("heap")
    assert find_command(["heap", "1"], cli._COMMANDS) == ["heap", "1"]


@pytest.mark.parametrize(
    ("word", "cure"),
    [
        ("tarce", "`gdbleak trace`"),
        ("suspect", "`gdbleak suspects`"),
        ("leak", "`gdbleak leaks`"),
        ("repor", "`gdbleak report`"),  # rather than the processes whose names contain it
        ("nonsense", "list commands with `gdbleak --help`, processes with `ps -eo comm`"),
    ],
)
def test_neither_command_nor_process(word, cure):
    with pytest.raises(UsageError, match="neither a command nor the name of a process") as raised:
        find_command([word, "1"], cli._COMMANDS)
    assert cure in raised.value.help_text


def test_name_of_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.gdbleak").touch()
    with pytest.raises(UsageError) as raised:
        find_command(["x.gdbleak"], cli._COMMANDS)
    assert "`gdbleak report x.gdbleak`" in raised.value.help_text
