"""A program that gdbleak starts: `gdbleak -c COMMAND`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest


def start(*arguments, **options):
    """Start gdbleak in a process group of its own, as a shell does."""
    command = [sys.executable, "-m", "gdbleak", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def finish(gdbleak):
    """Return what a gdbleak has written; whatever becomes of it, its program ends."""
    try:
        return gdbleak.communicate(timeout=90)
    except BaseException:
        os.killpg(gdbleak.pid, signal.SIGKILL)
        gdbleak.communicate()
        raise


@pytest.fixture
def script(tmp_path):
    """Return a program that allocates by malloc, says so, and exits with 3 when it is told to."""
    path = tmp_path / "program"
    path.write_text(
        f"#!{sys.executable}\n"
        "import sys, time\n"
        "kept = []\n"
        "print('begins', *sys.argv[1:], flush=True)\n"
        "end = time.monotonic() + float(sys.argv[1])\n"
        "while time.monotonic() < end:\n"
        "    kept.append(bytearray(5000))\n"
        "    time.sleep(0.05)\n"
        "print('ends', flush=True)\n"
        "sys.exit(3)\n"
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("quoted", [True, False])
def test_report_and_the_output_of_the_program_stay_apart(script, tmp_path, quoted):
    words = [f"{script} 8 'two words'"] if quoted else [script, "8", "two words"]
    report = tmp_path / "report.json"
    gdbleak = start("trace", "--duration", "1s", "-o", report, "-c", *words)
    out, err = finish(gdbleak)
    assert (gdbleak.returncode, out) == (0, "begins 8 two words\nends\n")
    made = json.loads(report.read_text())
    assert made["target"]["command"].endswith(f"{script} 8 two words")
    assert made["window"]["ended_by"] in ("duration", "starved")
    assert made["verification"]["ok"]
    assert re.search(r"process \d+ runs on; gdbleak ends with it\n$", err)


def test_end_of_the_program_ends_the_window(script):
    gdbleak = start("--duration", "5m", "-c", f"{script} 6")
    out, err = finish(gdbleak)
    assert (gdbleak.returncode, out) == (0, "begins 6\nends\n")
    assert "ended because the target ended" in err


def test_ctrl_c_is_for_both(script, tmp_path):
    report = tmp_path / "report.json"
    gdbleak = start("--duration", "5m", "-o", report, "-c", f"{script} 300", bufsize=0)
    try:
        said = ""
        while "tracing process" not in said:
            said += gdbleak.stderr.readline()
        os.killpg(gdbleak.pid, signal.SIGINT)
    finally:
        out, _ = finish(gdbleak)
    assert out == "begins 300\n"
    made = json.loads(report.read_text())
    assert made["window"]["ended_by"] in ("interrupt", "target-exit", "target-killed")


def test_sigterm_is_for_gdbleak_alone(script, tmp_path):
    report = tmp_path / "report.json"
    gdbleak = start("--duration", "5m", "-o", report, "-c", f"{script} 12")
    said = ""
    while "tracing process" not in said:
        said += gdbleak.stderr.readline()
    gdbleak.send_signal(signal.SIGTERM)
    out, _ = finish(gdbleak)
    assert out == "begins 12\nends\n", "the program ran on to its end"
    assert json.loads(report.read_text())["window"]["ended_by"] == "terminate"


def test_program_that_ends_at_once():
    gdbleak = start("trace", "-c", "true")
    out, err = finish(gdbleak)
    assert (gdbleak.returncode, out) == (3, "")
    assert err.startswith("gdbleak: the program ended before it could be traced\n  try: ")


def test_program_that_cannot_be_traced_runs_on(build_target):
    """One without an allocator: gdbleak says so, and waits until it has read all of its input."""
    bare = build_target("bare.c", "-static", "-nostdlib", "-fno-stack-protector")
    gdbleak = start("trace", "-c", bare, stdin=subprocess.PIPE)
    said = ""
    while "runs on; gdbleak ends with it" not in said:
        said += gdbleak.stderr.readline()
    assert gdbleak.poll() is None
    out, _ = finish(gdbleak)  # which closes its input
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
