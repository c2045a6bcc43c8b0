"""A program that gdbleak starts: `gdbleak -c COMMAND`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest


def start(*arguments):
    """Start gdbleak in a process group of its own, as a shell does."""
    command = [sys.executable, "-m", "gdbleak", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read_until(gdbleak, text):
    """Return what a gdbleak writes to standard error up to a line that holds a text."""
    said = ""
    while text not in said:
        line = gdbleak.stderr.readline()
        assert line, f"it ended without {text!r}: {said}"
        said += line
    return said


def finish(gdbleak):
    """Return what a gdbleak has written since; the input of its program ends, and so does that."""
    try:
        return gdbleak.communicate(timeout=90)
    except BaseException:
        os.killpg(gdbleak.pid, signal.SIGKILL)
        gdbleak.communicate()
        raise


@pytest.fixture
def script(tmp_path):
    """Return a program that allocates by malloc until its input ends, and exits with 3."""
    path = tmp_path / "program"
    path.write_text(
        f"#!{sys.executable}\n"
        "import select, sys\n"
        "kept = []\n"
        "print('begins', *sys.argv[1:], flush=True)\n"
        "while not select.select([0], [], [], 0.05)[0]:\n"
        "    kept.append(bytearray(5000))\n"
        "print('ends', flush=True)\n"
        "sys.exit(3)\n"
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("quoted", [True, False])
def test_report_and_the_output_of_the_program_stay_apart(script, tmp_path, quoted):
    words = [f"{script} one 'two words'"] if quoted else [script, "one", "two words"]
    report = tmp_path / "report.json"
    gdbleak = start("trace", "--duration", "1s", "-o", report, "-c", *words)
    try:
        said = read_until(gdbleak, "runs on; gdbleak ends with it")
        assert gdbleak.poll() is None
    finally:
        out, _ = finish(gdbleak)
    assert (gdbleak.returncode, out) == (0, "begins one two words\nends\n"), said
    made = json.loads(report.read_text())
    assert made["target"]["command"].endswith(f"{script} one two words")
    assert made["window"]["ended_by"] in ("duration", "starved")
    assert made["verification"]["ok"]


def test_end_of_the_program_ends_the_window(script):
    gdbleak = start("--duration", "5m", "--budget", 100, "-c", script)
    try:
        read_until(gdbleak, "tracing process")
    finally:
        out, said = finish(gdbleak)
    assert (gdbleak.returncode, out) == (0, "begins\nends\n")
    assert "every call" in said
    assert "it has ended." in said


def test_ctrl_c_is_for_both(script, tmp_path):
    report = tmp_path / "report.json"
    gdbleak = start("--duration", "5m", "-o", report, "-c", script)
    try:
        read_until(gdbleak, "tracing process")
        os.killpg(gdbleak.pid, signal.SIGINT)
        gdbleak.wait(60)  # the program has not read the end of its input
    finally:
        out, _ = finish(gdbleak)
    assert out == "begins\n"
    made = json.loads(report.read_text())
    assert made["window"]["ended_by"] in ("interrupt", "target-exit", "target-killed")


def test_sigterm_is_for_gdbleak_alone(script, tmp_path):
    report = tmp_path / "report.json"
    gdbleak = start("--duration", "5m", "-o", report, "-c", script)
    try:
        read_until(gdbleak, "tracing process")
        gdbleak.send_signal(signal.SIGTERM)
        read_until(gdbleak, "runs on; gdbleak ends with it")
    finally:
        out, _ = finish(gdbleak)
    assert out == "begins\nends\n", "the program ran on to the end of its input"
    assert json.loads(report.read_text())["window"]["ended_by"] == "terminate"


def test_program_that_ends_at_once():
    gdbleak = start("trace", "-c", "true")
    out, err = finish(gdbleak)
    assert (gdbleak.returncode, out) == (3, "")
    assert err.startswith("gdbleak: the program ended before it could be traced\n  try: ")


def test_program_that_cannot_be_traced_runs_on(build_target):
    """One without an allocator: gdbleak says so, and waits until it has read all of its input."""
    bare = build_target("bare.c", "-static", "-nostdlib", "-fno-stack-protector")
    gdbleak = start("trace", "-c", bare)
    try:
        said = read_until(gdbleak, "runs on; gdbleak ends with it")
        assert gdbleak.poll() is None
    finally:
        out, _ = finish(gdbleak)
    assert (gdbleak.returncode, out) == (3, "ready\n")
    assert said.startswith("gdbleak: ")
    assert "malloc" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c"],
        ["-c", "'"],
        ["-c", "/nonexistent"],
        ["1", "-c", "true"],
        ["--live", "-c", "true"],
        ["--format", "json", "-c", "true"],
        ["--remote", "h:1", "-c", "true"],
    ],
)
def test_refused(arguments):
    gdbleak = start("trace", *arguments)
    out, err = finish(gdbleak)
    assert (gdbleak.returncode, out, err.count("\n")) == (2, "", 2)
