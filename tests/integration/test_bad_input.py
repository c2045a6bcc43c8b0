"""What cannot be traced or read is refused in two lines: the cause, and what to type next."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
from pathlib import Path

import pytest
from support.processes import TRACER, state_of, wait_until

from gdbleak.debugger.program import find_gdb

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")


def assert_refused(result, exit_code, *words):
    """Assert that the refusal is two lines that name what they must."""
    assert result.exit_code == exit_code, result.stderr
    assert result.stdout == ""
    cause, cure = result.stderr.splitlines()
    assert cause.startswith("gdbleak: ")
    assert cure.startswith("  try: ")
    for word in words:
        assert str(word) in cause


def test_no_such_process(cli):
    with subprocess.Popen(["true"]) as gone:
        pass
    assert_refused(cli.run("trace", gone.pid), 3, gone.pid)


@pytest.mark.parametrize("pid", ["0", "-1", "no-such-process", "99999999999999999999"])
def test_no_pid_at_all(cli, pid):
    assert_refused(cli.run("trace", pid), 2 if pid in ("0", "-1") else 3)


def test_zombie(cli):
    with subprocess.Popen(["true"]) as zombie:
        wait_until(lambda: state_of(zombie.pid) == "Z", "it is a zombie")
        assert_refused(cli.run("trace", zombie.pid), 3, zombie.pid, "zombie")


def test_kernel_thread(cli):
    if "kthreadd" not in Path("/proc/2/status").read_text(errors="replace"):
        pytest.skip("no kernel thread can be seen from this container")
    assert_refused(cli.run("trace", 2), 3, "kernel thread")


def test_stopped_process_is_left_stopped(cli, puppet):
    os.kill(puppet.pid, signal.SIGSTOP)
    wait_until(lambda: state_of(puppet.pid) == "T", "it has stopped")
    assert_refused(cli.run("trace", puppet.pid), 3, puppet.pid, "stopped")

    assert state_of(puppet.pid) == "T"
    os.kill(puppet.pid, signal.SIGCONT)
    assert puppet.ask("still there?") == "still there?"


@pytest.mark.usefixtures("needs_ptrace")
def test_traced_process_names_its_tracer(cli, puppet, start_target):
    tracer = start_target(*TRACER, str(puppet.pid))
    assert_refused(cli.run("trace", puppet.pid), 3, tracer.pid)

    tracer.end()
    assert puppet.ask("still there?") == "still there?"


def test_process_of_another_user(cli, start_target):
    if os.geteuid() == 0:
        as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        other = start_target(*as_nobody, "sh", "-c", "echo ready; exec cat").pid
        wrapper = ["setpriv", "--bounding-set=-sys_ptrace"]
    else:
        other, wrapper = 1, []
    assert_refused(cli.run("trace", other, wrapper=wrapper), 3, other)


@pytest.mark.parametrize("ourselves", ["exec", ""])
def test_gdbleak_itself_and_its_shell(cli, ourselves):
    shell = ("sh", "-c", f'{ourselves} "$@" $$; exit $?', "sh")
    assert_refused(cli.run("trace", wrapper=shell), 3)


def start_bare(build_target, start_target, *flags):
    return start_target(build_target("bare.c", "-static", "-nostdlib", *flags))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="its system calls are those of x86-64")
def test_program_without_malloc(cli, build_target, start_target):
    bare = start_bare(build_target, start_target, "-fno-stack-protector")
    assert_refused(cli.run("trace", bare.pid), 3, "malloc")


def test_32_bit_program(cli, build_target, start_target):
    try:
        bare = start_bare(build_target, start_target, "-fno-stack-protector", "-m32")
    except (subprocess.CalledProcessError, OSError, EOFError) as error:
        pytest.skip(f"32-bit programs cannot be built or run here: {error}")
    assert_refused(cli.run("trace", bare.pid), 3, "32")


@pytest.mark.parametrize(
    "options",
    [
        ["--duration", 0],
        ["--duration", -1],
        ["--duration", "nan"],
        ["--duration", "soon"],
        ["--max-events", 0],
        ["--top", -1],
        ["--sort", "colour"],
        ["--format", "colour"],
        ["--stack-bytes", 0],
        ["--min-size", 10, "--max-size", 5],
        ["--no-such-option"],
    ],
    ids=lambda options: " ".join(map(str, options)),
)
def test_options_that_make_no_sense(cli, puppet, options):
    assert_refused(cli.run("trace", puppet.pid, *options), 2)


def test_no_gdb_of_that_name(cli, puppet):
    assert_refused(cli.run("trace", puppet.pid, env={"GDBLEAK_GDB": "/nonexistent/gdb"}), 4)


def test_no_gdb_on_the_path(cli, puppet, tmp_path):
    assert_refused(cli.run("trace", puppet.pid, env={"PATH": str(tmp_path)}), 4, "gdb")


@pytest.mark.parametrize(
    ("script", "word"),
    [
        ("echo 'Python scripting is not supported in this copy of GDB.' >&2; exit 1", "Python"),
        ("exit 1", "gdb"),
        ("exit 0", "gdb"),
    ],
)
def test_gdb_that_is_of_no_use(cli, puppet, tmp_path, script, word):
    gdb = tmp_path / "gdb"
    gdb.write_text(f"#!/bin/sh\n{script}\n")
    gdb.chmod(0o755)
    assert_refused(cli.run("trace", puppet.pid, env={"GDBLEAK_GDB": str(gdb)}), 4, word)


@AS_ROOT
@pytest.mark.usefixtures("needs_ptrace")
def test_disk_full_while_recording_lets_the_target_go(cli, build_target, start_target):
    worker = start_target(build_target("worker.c"))
    full = ("unshare", "--mount", "sh", "-c")
    mount = 'mount -t tmpfs -o size=200k none "$TMPDIR" && exec "$@"'
    result = cli.run(
        "trace", worker.pid, "--duration", 600, "--format", "json", wrapper=(*full, mount, "sh")
    )

    assert result.exit_code == 5
    assert "No space left on device" in result.stderr
    assert "Traceback" not in result.stderr
    worker.assert_as_found()
    assert worker.ask("end").endswith(" 0 damaged")
    assert worker.wait() == 0


def test_report_that_cannot_be_written(cli, puppet, tmp_path):
    missing = tmp_path / "missing" / "report.json"
    assert_refused(cli.run("trace", puppet.pid, "-o", missing), 5, missing)


def test_recording_that_cannot_be_written(cli, puppet, tmp_path):
    missing = tmp_path / "missing" / "recording"
    assert_refused(cli.run("trace", puppet.pid, "--save", missing), 5, missing)


@pytest.mark.parametrize("content", [b"", b"\0", b"{}", b"no recording\n" * 1000, None])
def test_file_that_is_no_recording(cli, tmp_path, content):
    path = tmp_path / "recording"
    if content is not None:
        path.write_bytes(content)
    assert_refused(cli.run("report", path), 5, path)


def test_doctor_says_what_would_stop_a_trace(cli, puppet):
    os.kill(puppet.pid, signal.SIGSTOP)
    wait_until(lambda: state_of(puppet.pid) == "T", "it has stopped")
    result = cli.run("doctor", puppet.pid)
    os.kill(puppet.pid, signal.SIGCONT)

    assert result.exit_code == 1
    assert "stopped" in result.stdout


@pytest.mark.usefixtures("needs_ptrace")
def test_doctor_finds_nothing_where_traces_work(cli, puppet):
    result = cli.run("doctor")
    assert result.exit_code == 0
    assert re.search(
        rf"^ok +gdb .* \({find_gdb().path}\), proved on a process of gdbleak's own in \d+\.\d s",
        result.stdout,
        re.MULTILINE,
    )
    assert cli.run("doctor", puppet.pid).exit_code == 0


@pytest.mark.parametrize("options", [["--holders"], ["--fail-on", "leak,lost"]])
def test_what_needs_references_without_them(cli, puppet, options):
    result = cli.run("trace", puppet.pid, "--no-references", *options)
    assert_refused(result, 2, options[0], "needs references")
    puppet.assert_as_found()
