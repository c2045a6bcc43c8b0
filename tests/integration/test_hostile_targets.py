"""Targets that mean harm: whatever they have mapped, and do meanwhile, it keeps nobody long."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
import test_hostile_files as files
from support.processes import Target, status_of, wait_until

NOBODY = 65534
MOST_S = 10
"""So much of a processor may any command take; `Running.finish` waits for a minute."""
MOST_BYTES = 512 << 20
"""As much may any process of it hold."""

# Its own peak is what the test had in memory when it started it; that of its children is theirs.
_MEASURE = """
import pathlib, resource, signal, subprocess, sys
command = subprocess.Popen(sys.argv[2:])
signal.signal(signal.SIGINT, lambda number, _: command.send_signal(number))
code = command.wait()
with pathlib.Path(sys.argv[1]).open("a") as peaks:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(used.ru_maxrss << 10, used.ru_utime + used.ru_stime, *sys.argv[5:6], file=peaks)
sys.exit(code)
"""

AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("needs_ptrace"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
]


@pytest.fixture
def cli(cli, tmp_path, monkeypatch):
    """Return the command line, none of whose processes may have held or taken too much."""
    peaks, start = tmp_path / "peaks", cli.start
    wrapper = (sys.executable, "-c", _MEASURE, peaks)
    monkeypatch.setattr(cli, "start", partial(start, wrapper=wrapper))
    yield cli
    print(peaks.read_text())  # noqa: T201 - for -rP
    for line in peaks.read_text().splitlines():
        peak_bytes, processor_s, *_ = line.split()
        assert int(peak_bytes) < MOST_BYTES
        assert float(processor_s) < MOST_S


@pytest.fixture
def folder():
    """Return a folder of another user."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chown(name, NOBODY, NOBODY)
        yield Path(name)


@pytest.fixture
def trickster(build_target, folder):
    """Return a program of another user that may mount in a namespace of its own.

    What it has mapped has no lasting names; that its code is as it was, each report says.
    """
    program = shutil.copy(build_target("trickster.c"), folder)
    command = (*AS_NOBODY, "unshare", "--user", "--map-root-user", "--mount", program)
    trickster = Target(command)
    try:
        assert trickster.lines.next() == "ready"
        yield trickster
        status = status_of(Path(f"/proc/{trickster.pid}"))
        assert (status["TracerPid"], status["State"][0] in "RS") == ("0", True), status
    finally:
        trickster.end()


def assert_traced(cli, target, command="leak 5"):
    """Assert that doctor and trace say what they always say."""
    doctor = cli.run("doctor", target.pid)
    assert doctor.exit_code == 0, doctor.stdout
    running = cli.start_trace(target.pid)
    assert target.ask(command) == "done"
    running.send(signal.SIGINT)
    report = running.finish().report
    assert report["verification"]["ok"] is True
    return report


def has(report, function):
    """Whether a function is on a call stack of a report."""
    frames = [frame for site in report["sites"] for frame in site["frames"]]
    return any(frame["function"] == function for frame in frames)


def own(path):
    os.chown(path, NOBODY, NOBODY)
    return path


def test_name_that_reads_like_that_of_a_fifo(cli, trickster, folder, build_target):
    """The kernel writes a newline in a name as four characters, which a name may hold as well."""
    library = build_target("unwind_library.c", "-shared", "-fPIC", name="libplain.so")
    own(shutil.copy(library, folder / r"a\012b.so"))
    os.mkfifo(folder / "a\nb.so", 0o666)
    assert trickster.ask(rf"map {folder}/a\012b.so") == "done"
    report = assert_traced(cli, trickster)
    assert has(report, "main")
    assert not [note for note in report["notes"] if "unwinding through" in note and "b.so" in note]


def test_fifo_in_the_place_of_a_library(cli, trickster, folder, build_target):
    library = build_target("unwind_library.c", "-shared", "-fPIC", name="libplain.so")
    (folder / "sub").mkdir()
    own(folder / "sub")
    own(shutil.copy(library, folder / "sub"))
    assert trickster.ask(f"map {folder}/sub/libplain.so") == "done"
    assert trickster.ask("cover") == "done"
    assert has(assert_traced(cli, trickster), "main")


def test_fifo_that_comes_in_the_window(cli, trickster, folder, build_target):
    library = build_target("unwind_library.c", "-shared", "-fPIC", name="libplain.so")
    (folder / "sub").mkdir()
    own(folder / "sub")
    own(shutil.copy(library, folder / "sub"))
    running = cli.start_trace(trickster.pid)
    assert trickster.ask(f"map {folder}/sub/libplain.so") == "done"
    assert trickster.ask("cover") == "done"
    assert trickster.ask("leak 5") == "done"
    running.send(signal.SIGINT)
    assert has(running.finish().report, "main")


def test_file_that_is_cut_while_it_is_read(cli, trickster, folder):
    path = own(files.code(folder / "lib.so", b"\x90" * (1 << 22)))
    assert trickster.ask(f"map {path}") == "done"
    assert trickster.ask("shake") == "done"
    for _ in range(3):
        for arguments in (("doctor",), ("trace", "--duration", 0.5, "--format", "json")):
            result = cli.run(*arguments[:1], trickster.pid, *arguments[1:])
            # At a bad moment what is mapped is not what was read of it.
            refused = f"differs from {path}" in result.stdout + result.stderr
            assert result.exit_code == 0 or refused, result
    path.unlink()


@pytest.mark.parametrize(
    "make", [files.ten_million_sections, files.bomb, files.indirect_jumps], ids=lambda m: m.__name__
)
def test_file_that_takes_for_ever(cli, trickster, folder, make):
    assert trickster.ask(f"map {own(make(folder / 'lib.so'))}") == "done"
    doctor = cli.run("doctor", trickster.pid)
    assert "lib.so" in doctor.stdout or doctor.exit_code == 0
    report = cli.run("trace", trickster.pid, "--duration", 0.5, "--format", "json").report
    assert report["verification"]["ok"] is True


def test_target_that_hides_in_the_window(cli, trickster):
    """From then on nobody but root may read its mappings; the report is made all the same."""
    report = assert_traced(cli, trickster, "hide")
    assert report["window"]["complete"] is True


def test_heap_whose_lists_go_round(cli, trickster):
    assert trickster.ask("circle") == "done"
    running = cli.start(
        "trace", trickster.pid, "--probe", "breakpoint", "--duration", 600, "--budget", 2
    )
    running.wait_for_window()
    wait_until(lambda: int(trickster.ask("count")) > 3000, "its blocks were looked at")
    running.send(signal.SIGINT)
    result = running.finish()
    assert ", ended early by its user" in " ".join(result.stdout.split())
