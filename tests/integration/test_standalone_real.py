"""The standalone file, with a gdb of this host and nothing else of gdbleak in reach."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from support.exactness import COUNTS, sum_by_line
from support.processes import Lines, wait_until

pytestmark = pytest.mark.usefixtures("needs_ptrace")

SAFE = ("-nx", "-batch", "--readnever", "-iex", "set auto-load off")


class Box:
    """A folder that holds what a box without gdbleak has: the file, and its recording."""

    def __init__(self, folder: Path) -> None:
        self.script, self.recording = folder / "gdbleak_record.py", folder / "leak.gdbleak"
        self.sysroot = folder / "sysroot"
        self._gdb = None

    def copy_files_of(self, pid: int) -> None:
        """Copy the program and libraries of a process to their paths below the sysroot."""
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            path = line.split(maxsplit=5)[-1]
            if path.startswith("/") and not (copy := Path(f"{self.sysroot}{path}")).exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)

    def start(self, pid: int, duration_s: float = 600, **variables: object) -> subprocess.Popen:
        """Start to record."""
        values = {"GDBLEAK_DURATION": duration_s, "GDBLEAK_OUT": self.recording, **variables}
        self._gdb = subprocess.Popen(
            ["gdb", *SAFE, "-iex", "set auto-solib-add off", "-p", str(pid), "-x", self.script],
            env={**os.environ, **{name: str(value) for name, value in values.items()}},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        return self._gdb

    def wait_for_window(self) -> None:
        """Return once the first PHASE stands behind the head, and the process runs."""
        head = wait_until(self._whole_head, "the head was written")
        wait_until(lambda: self.recording.stat().st_size > head, "the window was open")

    def _whole_head(self) -> int:
        if not self.recording.exists() or self.recording.stat().st_size < 16:
            return 0
        return 16 + int.from_bytes(self.recording.read_bytes()[12:16], "little")

    def finish(self) -> tuple[int, str]:
        """Return the exit status of GDB, and what it said."""
        said = Lines(self._gdb.stdout).rest()
        status = self._gdb.wait(60)
        self._gdb.stdout.close()
        return status, said


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path)


@pytest.fixture
def prepared(cli, box):
    """Return a function that makes the box ready to record a process."""

    def prepare(pid):
        box.copy_files_of(pid)
        result = cli.run("agent", "--standalone", "--sysroot", box.sysroot)
        assert result.exit_code == 0, result.stderr
        box.script.write_text(result.stdout, encoding="ascii")
        return box

    return prepare


def report(cli, box):
    return cli.run(
        *("report", box.recording, "--sysroot", box.sysroot, "--older", 0, "--format", "json")
    ).report


def test_counts_of_every_site_are_exact(cli, prepared, build_target, start_target):
    exact = start_target(build_target("exact.cpp", "-fno-optimize-sibling-calls"))
    box = prepared(exact.pid)
    gdb = box.start(exact.pid)
    box.wait_for_window()
    truth = json.loads(exact.ask("go"))
    gdb.send_signal(signal.SIGINT)
    status, said = box.finish()

    assert status == 0, said
    found = report(cli, box)
    expected = {site["line"]: {key: site[key] for key in COUNTS} for site in truth}
    assert expected == sum_by_line(found)
    assert found["window"]["ended_by"] == "interrupt"
    assert (found["window"]["lost_events"], found["verification"]["ok"]) == (0, True)
    exact.assert_as_found()


def test_an_idle_process_is_released_when_the_time_is_up(cli, prepared, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    box = prepared(puppet.pid)
    box.start(puppet.pid, duration_s=0.3)
    status, said = box.finish()

    assert status == 0, said
    found = report(cli, box)
    assert found["window"]["ended_by"] == "duration"
    assert found["verification"]["ok"] is True
    assert puppet.ask("leak 3") == "leaked"


def test_the_number_of_events_bounds_the_window(cli, prepared, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    box = prepared(puppet.pid)
    box.start(puppet.pid, GDBLEAK_MAX_EVENTS=20)
    box.wait_for_window()
    assert puppet.ask("leak 50") == "leaked"
    status, said = box.finish()

    assert status == 0, said
    window = report(cli, box)["window"]
    assert (window["ended_by"], window["events"]) == ("max-events", 20)


@pytest.mark.parametrize(
    ("command", "ending"),
    [("exit 7", "target-exit"), ("exec", "target-exec")],
)
def test_the_process_goes_its_own_way(cli, prepared, build_target, start_target, command, ending):
    program = build_target("puppet.c")
    puppet = start_target(program)
    box = prepared(puppet.pid)
    box.start(puppet.pid)
    box.wait_for_window()
    assert puppet.ask("leak 5") == "leaked"
    puppet.tell(f"exec {program}" if command == "exec" else command)
    status, said = box.finish()

    assert status == 0, said
    found = report(cli, box)
    assert found["window"]["ended_by"] == ending, said
    assert 5 in [site["outstanding_count"] for site in found["sites"]]
    if command == "exec":
        assert puppet.lines.next() == "ready"
        assert puppet.ask("leak 3") == "leaked"
    else:
        assert puppet.wait() == 7


def test_an_interrupt_of_somebody_else_reaches_the_process(prepared, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    box = prepared(puppet.pid)
    box.start(puppet.pid)
    box.wait_for_window()
    os.kill(puppet.pid, signal.SIGINT)
    box.finish()

    assert puppet.wait() == -signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_code_is_restored_when_gdb_is_killed(prepared, build_target, start_target, number):
    puppet = start_target(build_target("puppet.c"))
    box = prepared(puppet.pid)
    gdb = box.start(puppet.pid)
    box.wait_for_window()
    gdb.send_signal(number)
    box.finish()  # its output ends when the watchman does

    puppet.assert_as_found()
    assert puppet.ask("leak 3") == "leaked"


def test_files_that_are_missing_are_named(cli, prepared, build_target, start_target):
    program = build_target("puppet.c")
    puppet = start_target(program)
    box = prepared(puppet.pid)
    box.start(puppet.pid, GDBLEAK_MAX_EVENTS=20)
    box.wait_for_window()
    assert puppet.ask("leak 50") == "leaked"
    box.finish()
    Path(f"{box.sysroot}{program}").unlink()

    notes = " ".join(report(cli, box)["notes"])
    assert f"{box.sysroot}{program}" in notes
    assert "build-id" in notes


def test_a_file_for_another_allocator_says_which_files_to_copy(
    prepared, build_target, start_target
):
    program = build_target("puppet.c")
    puppet = start_target(program)
    box = prepared(puppet.pid)
    known = box.script.read_text()
    [build_id] = re.findall(r'"build_id": "([0-9a-f]+)"', known)
    box.script.write_text(known.replace(build_id, "00" * 20))
    box.start(puppet.pid)
    status, said = box.finish()

    assert (status, box.recording.exists()) == (1, False)
    assert f"{program} (build-id" in said
    assert "try: " in said
    assert "Traceback" not in said


def test_copies_without_an_allocator_are_refused(cli, box, build_target):
    box.sysroot.mkdir()
    shutil.copy(build_target("puppet.c"), box.sysroot)
    result = cli.run("agent", "--standalone", "--sysroot", box.sysroot)

    assert (result.exit_code, result.stdout) == (3, "")
    assert "no malloc found" in result.stderr


def test_threads_that_end_free_no_older_blocks(cli, prepared, build_target, start_target):
    target = start_target(build_target("thread_ends.c"))
    box = prepared(target.pid)
    gdb = box.start(target.pid)
    box.wait_for_window()
    _, freed, older = map(int, target.ask("go").split())
    gdb.send_signal(signal.SIGINT)
    status, said = box.finish()

    assert status == 0, said
    window = report(cli, box)["window"]
    assert (window["frees"], window["frees_of_older_blocks"]) == (freed, older)
    assert (window["missed_frees"], window["lost_events"]) == (0, 0)
