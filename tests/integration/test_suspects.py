"""Which process leaks: real ones that grow in their own ways."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from support.terminals import TerminalRun

import gdbleak
from gdbleak.errors import UsageError

_LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


@pytest.fixture
def grows(build_target, start_target):
    program = build_target("grows.c")
    return lambda *arguments: start_target(program, *map(str, arguments)).pid


def test_the_steady_one_is_the_first(cli, grows):
    steady, once, saws = grows(4000), grows(40000, "once"), grows(4000, "saws")
    options = ("--duration", 6, "--interval", 0.3, "--format", "json")
    made = json.loads(cli.run("suspects", *options).stdout)
    suspects = {suspect["pid"]: suspect for suspect in made["suspects"]}
    first = suspects[steady]
    assert first["grows"]
    assert first["steadiness"] > 0.9
    assert first["bytes_per_s"] == pytest.approx(4000 * 1024, rel=0.25)
    for other in (once, saws):
        found = suspects.get(other)
        assert not found or found["bytes_per_s"] < first["bytes_per_s"] / 2 or not found["grows"]
    assert made["looks"] >= 5  # of 20: a busy host takes fewer
    assert len(first["history"]) == made["looks"]


def test_plain_text_ends_with_what_to_type(cli, grows):
    grows(60000)  # and others of this machine may
    result = cli.run("suspects", "--duration", 2, "--interval", 0.2, "--top", 3)
    assert result.exit_code == 0
    assert result.stdout.isascii()
    assert re.search(r"Next: gdbleak trace \d+\n$", result.stdout)


def test_ctrl_c_ends_it_with_what_was_seen(grows):
    grows(60000)
    run = TerminalRun("suspects", "--duration", 600, "--interval", 0.1)
    try:
        run.read_until(lambda: re.search("looking: [1-9]", run.text))  # by now it has looked twice
        run.press("ctrl-c")
        assert run.finish() == 0
        assert "Next: gdbleak trace" in run.output.decode()
    finally:
        run.end()


@pytest.mark.skipif(not os.access(_LAST_PID, os.W_OK), reason="only root chooses a PID")
def test_pid_that_is_given_away_again(build_target, start_target):
    """The looks at two processes of one PID are no growth of either."""
    program = build_target("grows.c")
    old = start_target(program, "1")
    reused = []

    def replace(_elapsed_s):
        if reused:
            return
        old.end()
        for _attempt in range(100):  # another process may be faster
            _LAST_PID.write_text(str(old.pid - 1))
            new = start_target(program, "60000")
            if new.pid == old.pid:
                reused.append(new)
                return

    lineup = gdbleak.find_suspects(gdbleak.Search(duration_s=1, interval_s=0.1), replace)
    assert reused
    assert old.pid not in {suspect.pid for suspect in lineup.suspects}
    assert lineup.ended >= 1


def test_range_of_numbers():
    with pytest.raises(UsageError, match="interval_s, 0, is out of range"):
        gdbleak.Search(interval_s=0)


@pytest.fixture
def named(build_target, start_target, home):
    """Return a function that starts a program of a name."""

    def start(name):
        program = home / name
        if not program.exists():
            shutil.copy(build_target("grows.c"), program)
        return start_target(program, "1").pid

    return start


@pytest.mark.usefixtures("needs_ptrace")
def test_process_by_its_name(cli, named):
    pid = named("leakyserver-a")
    options = ("--duration", 0.2, "--format", "json")
    result = cli.run("trace", "leakyserver-a", *options)
    assert result.report["target"]["pid"] == pid
    assert f"tracing process {pid} (" in result.stderr
    assert "/leakyserver-a 1) for 0.2 s" in result.stderr
    assert "process" in cli.run("doctor", "leakyserver-a").stdout


def test_name_of_several(cli, named):
    pids = {named("leakyserver-b") for _ in range(2)}
    result = cli.run("trace", "leakyserver-b")
    assert (result.exit_code, result.stdout) == (3, "")
    *table, error, cure = result.stderr.splitlines()
    assert {int(line.split()[0]) for line in table[2:]} == pids
    assert error == "gdbleak: 2 processes are called leakyserver-b"
    one = f"  try: give the PID of one of them, such as `gdbleak trace {min(pids)}`"
    assert cure == f"{one}, or add --all for one after the other"


@pytest.mark.parametrize("count", [1, 2])
def test_part_of_a_name(cli, named, count):
    pids = {named(f"leakyserver-{count}{number}") for number in range(count)}
    result = cli.run("trace", f"yserver-{count}")
    assert (result.exit_code, result.stdout) == (3, "")
    *table, error, cure = result.stderr.splitlines()
    assert {int(line.split()[0]) for line in table[2:]} == pids
    names = {1: "the name of one contains", 2: "longer names contain"}[count]
    assert error == f"gdbleak: no process is called yserver-{count}, but {names} it"
    example = f"such as `gdbleak trace {min(pids)}`"
    assert cure == f"  try: give the PID or the whole name, {example}"


def test_whole_name_before_a_part_of_one(cli, named):
    named("leakyserver-cd")
    pid = named("leakyserver-c")
    result = cli.run("doctor", "leakyserver-c")
    assert str(pid) in result.stdout


def test_name_of_none(cli):
    result = cli.run("trace", "no-such-server")
    assert result.exit_code == 3
    assert result.stderr.startswith("gdbleak: no process is called no-such-server\n  try: ")


@pytest.mark.usefixtures("needs_ptrace")
@pytest.mark.parametrize(("words", "status"), [("leak", 6), ("growing, leak", 6), ("turnover?", 0)])
def test_fail_on_a_verdict(cli, build_target, start_target, words, status):
    target = start_target(build_target("corpus/leak_all.c"))
    saved = cli.tmpdir.parent / "saved"
    options = ("--duration", 2, "--budget", 100, "--fail-on", words, "--save", saved)
    assert cli.run("trace", target.pid, *options).exit_code == status
    assert cli.run("report", saved, "--fail-on", words).exit_code == status


def test_fail_on_what_is_no_verdict(cli):
    result = cli.run("trace", 1, "--fail-on", "leek")
    assert (result.exit_code, "'leek' is not one of leak, " in result.stderr) == (2, True)
