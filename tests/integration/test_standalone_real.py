"""The standalone file, with a gdb of this host and nothing else of gdbleak in reach."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from dataclasses import fields
from pathlib import Path

import pytest
from support.exactness import COUNTS, sum_by_line

from gdbleak.recording.end import End, Verification
from gdbleak.recording.frames import END, HEAD
from gdbleak.recording.head import Head

pytestmark = pytest.mark.usefixtures("needs_ptrace")


def test_counts_of_every_site_are_exact(box, build_target, start_target):
    exact = start_target(build_target("exact.cpp", "-fno-optimize-sibling-calls"))
    box.prepare(exact.pid)
    gdb = box.start(exact.pid)
    box.wait_for_window()
    truth = json.loads(exact.ask("go"))
    gdb.send_signal(signal.SIGINT)
    status, said = box.finish()

    assert status == 0, said
    found = box.report()
    expected = {site["line"]: {key: site[key] for key in COUNTS} for site in truth}
    assert expected == sum_by_line(found)
    assert found["window"]["ended_by"] == "interrupt"
    assert (found["window"]["lost_events"], found["verification"]["ok"]) == (0, True)
    exact.assert_as_found()


def test_an_idle_process_is_released_when_the_time_is_up(box, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    box.prepare(puppet.pid)
    box.start(puppet.pid, duration_s=0.3)
    status, said = box.finish()

    assert status == 0, said
    found = box.report()
    assert found["window"]["ended_by"] == "duration"
    assert found["memory"]["rest"] == []
    # What the controller writes and reads is described once; this file cannot import it.
    for kind, described in ((HEAD, Head), (END, End)):
        frame = box.read_json(kind)
        assert frame.keys() == {each.name for each in fields(described)}
        assert frame["memory"]["RssAnon"] > 0
    assert frame["verification"].keys() == {each.name for each in fields(Verification)}
    assert found["verification"]["ok"] is True
    assert puppet.ask("leak 3") == "leaked"


def test_the_number_of_events_bounds_the_window(box, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    box.prepare(puppet.pid)
    box.start(puppet.pid, GDBLEAK_MAX_EVENTS=20)
    box.wait_for_window()
    assert puppet.ask("leak 50") == "leaked"
    status, said = box.finish()

    assert status == 0, said
    window = box.report()["window"]
    assert (window["ended_by"], window["events"]) == ("max-events", 20)


@pytest.mark.parametrize(
    ("command", "ending"),
    [("exit 7", "target-exit"), ("exec", "target-exec")],
)
def test_the_process_goes_its_own_way(box, build_target, start_target, command, ending):
    program = build_target("puppet.c")
    puppet = start_target(program)
    box.prepare(puppet.pid)
    box.start(puppet.pid)
    box.wait_for_window()
    assert puppet.ask("leak 5") == "leaked"
    puppet.tell(f"exec {program}" if command == "exec" else command)
    status, said = box.finish()

    assert status == 0, said
    found = box.report()
    assert found["window"]["ended_by"] == ending, said
    assert 5 in [site["outstanding_count"] for site in found["sites"]]
    if command == "exec":
        assert puppet.lines.next() == "ready"
        assert puppet.ask("leak 3") == "leaked"
    else:
        assert puppet.wait() == 7


def test_an_interrupt_of_somebody_else_reaches_the_process(box, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    box.prepare(puppet.pid)
    box.start(puppet.pid)
    box.wait_for_window()
    os.kill(puppet.pid, signal.SIGINT)
    box.finish()

    assert puppet.wait() == -signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_code_is_restored_when_gdb_is_killed(box, build_target, start_target, number):
    puppet = start_target(build_target("puppet.c"))
    box.prepare(puppet.pid)
    gdb = box.start(puppet.pid)
    box.wait_for_window()
    gdb.send_signal(number)
    box.finish()  # its output ends when the watchman does

    puppet.assert_as_found()
    assert puppet.ask("leak 3") == "leaked"


def test_files_that_are_missing_are_named(box, build_target, start_target):
    program = build_target("puppet.c")
    puppet = start_target(program)
    box.prepare(puppet.pid)
    box.start(puppet.pid, GDBLEAK_MAX_EVENTS=20)
    box.wait_for_window()
    assert puppet.ask("leak 50") == "leaked"
    box.finish()
    Path(f"{box.sysroot}{program}").unlink()

    notes = " ".join(box.report()["notes"])
    assert f"{box.sysroot}{program}" in notes
    assert "build-id" in notes


def test_a_file_for_another_allocator_says_which_files_to_copy(box, build_target, start_target):
    program = build_target("puppet.c")
    puppet = start_target(program)
    box.prepare(puppet.pid)
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


def test_threads_that_end_free_no_older_blocks(box, build_target, start_target):
    target = start_target(build_target("thread_ends.c"))
    box.prepare(target.pid)
    gdb = box.start(target.pid)
    box.wait_for_window()
    _, freed, older = map(int, target.ask("go").split())
    gdb.send_signal(signal.SIGINT)
    status, said = box.finish()

    assert status == 0, said
    window = box.report()["window"]
    assert (window["frees"], window["frees_of_older_blocks"]) == (freed, older)
    assert (window["missed_frees"], window["lost_events"]) == (0, 0)
