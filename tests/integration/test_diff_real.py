"""Two builds of a program, compared by their recordings and by their reports."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.usefixtures("needs_ptrace")


@pytest.fixture(scope="module")
def builds(build_target):
    source = "before_and_after.c"
    return build_target(source, name="app"), build_target(source, "-DFIXED", name="app")


@pytest.fixture
def traced(cli, builds, start_target, tmp_path):
    """Return a recording and a JSON report of each build."""
    made = []
    for number, program in enumerate(builds):
        target = start_target(program)
        recording, report = tmp_path / f"{number}.gdbleak", tmp_path / f"{number}.json"
        options = ("--duration", 3, "--budget", 100, "--save", recording, "-o", report)
        assert cli.run("trace", target.pid, *options).exit_code == 0
        made.append((recording, report))
    return made


def compare(cli, before, after):
    """Return what became of each function; how fast is a matter of the host."""
    made = json.loads(cli.run("diff", before, after, "--format", "json").stdout)
    changes = {difference["stack"][0]: difference["change"] for difference in made["differences"]}
    return {
        function: word if word in ("new", "gone") else "both" for function, word in changes.items()
    }


def test_both_ways(cli, traced):
    (old, old_report), (new, new_report) = traced
    forward = {"volatile_cache": "new", "open_session": "gone", "log_line": "both"}
    backward = {"volatile_cache": "gone", "open_session": "new", "log_line": "both"}
    assert compare(cli, old, new) == forward
    assert compare(cli, new_report, old_report) == backward
    assert compare(cli, old, new_report) == forward
    text = cli.run("diff", old, new).stdout
    assert text.count("\n1 new, ") == 1
    assert "volatile_cache" in text


def test_bad_input(cli, tmp_path):
    (tmp_path / "text").write_text("hello")
    for arguments, status, said in (
        (("a", "./a"), 2, "both reports are the same file"),
        (("a", "b"), 5, "cannot read a: No such file or directory"),
        ((tmp_path / "text", "b"), 5, "neither a recording nor a report"),
    ):
        result = cli.run("diff", *arguments)
        assert (result.exit_code, said in result.stderr) == (status, True), result.stderr
        assert len(result.stderr.splitlines()) == 2
