"""`gdbleak hunt`: which size grows, and then who allocates it."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.usefixtures("needs_ptrace", "state")


@pytest.fixture
def grows(build_target, start_target):
    """Return a program that leaks 20 bytes, 2,000 times a second, beside busier things."""
    return start_target(build_target("heaps/grows_by_size.c"), "2000", "0")


def test_the_stack_that_makes_what_grows(cli, grows, tmp_path):
    page = tmp_path / "leak.json"
    result = cli.run(
        *("hunt", grows.pid, "--interval", 0.5, "--duration", 3, "--max-pause", 10_000),
        *("--fail-on", "lost", "-o", page),
    )
    assert result.exit_code == 6, result.stderr
    told = " ".join(result.stdout.split())
    assert told.startswith("Growing: blocks of ")
    assert f"Now: gdbleak trace {grows.pid} --size " in told
    report = json.loads(page.read_text())
    least, most = report["window"]["sizes"]
    assert least <= 24 <= most <= 40
    leaks = [site for site in report["sites"] if site["verdict"]["word"] == "leak"]
    assert [site["function"] for site in leaks] == ["leak_record"]


def test_json_is_not_garbled(cli, grows):
    result = cli.run(
        *("hunt", grows.pid, "--interval", 0.3, "--count", 3, "--duration", 0.5),
        *("--max-pause", 10_000, "--format", "json"),
    )
    assert result.report["window"]["sizes"]
    assert "Growing: blocks of " in result.stderr


def test_nothing_grows(cli, puppet):
    result = cli.run("hunt", puppet.pid, "--interval", 0.1)
    assert result.exit_code == 0
    assert "No size of blocks grows steadily, in 6 censuses." in result.stdout
    assert "Nothing was traced" in result.stdout
    assert f"Next: gdbleak hunt {puppet.pid} --interval 0.6" in result.stdout


@pytest.mark.parametrize("options", [("--count", 1), ("--interval", 0), ("--size", 24)])
def test_options_that_make_no_sense(cli, options):
    assert cli.run("hunt", 1, *options).exit_code == 2
