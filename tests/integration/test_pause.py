"""What GDB and gdbleak do while the target may stand still: nothing that grows with its files."""

from __future__ import annotations

import re
import shutil
import signal
from collections import Counter

import pytest
from support.processes import wait_until

pytestmark = pytest.mark.usefixtures("needs_ptrace")

LIBRARIES = 40
ATTACH = "ptrace(PTRACE_ATTACH, {pid})"
CONTINUE = "ptrace(PTRACE_CONT, {pid},"
STARTS = ("clone", "fork", "vfork")
DETACH = "ptrace(PTRACE_DETACH, {pid},"
# Whose number tells nothing: the kernel's list of mappings comes page by page, GDB's own memory as
# it likes, a signal may come early or late.
UNCOUNTED = ("/maps>", "brk(", "mmap(", "munmap(", "---", "rt_sigreturn(", "futex(", "poll(")


@pytest.fixture
def strace():
    """Return the path of strace."""
    path = shutil.which("strace")
    if path is None:
        pytest.skip("strace is not installed: run .ci/setup test")
    return path


@pytest.fixture
def calls_of_gdb(cli, strace, tmp_path):
    """Return a function that traces a process and returns the system calls of the GDB meanwhile."""

    def trace(pid):
        gdb, log = tmp_path / "gdb", tmp_path / "calls"
        gdb.write_text(
            "#!/bin/sh\n"
            'case "$*" in *gdbleak_agent*)\n'
            # It must not come between GDB and its parent, who waits for it.
            f'    exec {strace} -D -y -s 200 -o {log} {shutil.which("gdb")} "$@" ;;\n'
            f'esac\nexec {shutil.which("gdb")} "$@"\n'
        )
        gdb.chmod(0o755)
        result = cli.run("trace", pid, "--duration", 0.2, env={"GDBLEAK_GDB": str(gdb)})
        assert result.exit_code == 0, result.stderr
        return read_log(log)

    return trace


def read_log(path):
    """Return the lines of a log of strace, which ends a little later than what it watches."""
    return wait_until(
        lambda: "+++" in path.read_text() and path.read_text(), "it ended"
    ).splitlines()


@pytest.fixture
def many_libraries(build_target):
    """Return a program that sleeps, linked with many libraries."""
    names = [f"libmany{number}.so" for number in range(LIBRARIES)]
    built = [build_target("debug_scripts.c", "-shared", "-fPIC", name=name) for name in names]
    return build_target("puppet.c", "-Wl,--no-as-needed", *map(str, built), name="libraries")


def between(lines, first, last, pid):
    """Return the lines from one that holds the text `first` to the next that holds `last`."""
    start, end = first.format(pid=pid), last.format(pid=pid)
    [begin] = [number for number, line in enumerate(lines) if start in line]
    return lines[begin : 1 + next(n for n in range(begin, len(lines)) if end in lines[n])]


def opened(lines):
    """Return the path of each file that was opened."""
    return {
        match[1]
        for line in lines
        if (match := re.search(r'open(?:at)?\(.*?"([^"]*)".* = \d', line))
    }


def test_attached_gdb_opens_no_file_of_the_target(calls_of_gdb, many_libraries, start_target):
    target = start_target(many_libraries)
    attached = between(calls_of_gdb(target.pid), ATTACH, DETACH, target.pid)

    assert {path for path in opened(attached) if not path.startswith("/proc/")} <= {
        path for path in opened(attached) if path.endswith("/blank")
    }
    assert not [line for line in attached if "libmany" in line and "/maps>" not in line]


def test_attach_does_as_much_for_many_libraries_as_for_none(
    build_target, calls_of_gdb, many_libraries, start_target
):
    counts = []
    for program in (build_target("puppet.c"), many_libraries):
        target = start_target(program)
        halted = between(calls_of_gdb(target.pid), ATTACH, CONTINUE, target.pid)
        counted = [line for line in halted if not any(word in line for word in UNCOUNTED)]
        counts.append(Counter(line.split("(")[0] for line in counted))

    assert counts[0]["pread64"] > 50  # it was looked at the right place
    assert counts[0] == counts[1]


def test_gdb_has_rehearsed_before_it_attaches(build_target, calls_of_gdb, start_target):
    target = start_target(build_target("puppet.c"))
    calls = calls_of_gdb(target.pid)
    halted = between(calls, ATTACH, CONTINUE, target.pid)
    before = calls[: calls.index(halted[0])]
    attached = [match[1] for line in before if (match := re.search(r"_ATTACH, (\d+)", line))]

    # To a process of gdbleak's own, with threads, and from all of them again.
    assert len(attached) > 1
    for thread in attached:
        assert [line for line in before if DETACH.format(pid=thread) in line]
    # Among what the first attach of a GDB does: it starts processes to try out ptrace.
    assert [line for line in before if line.startswith(STARTS)]
    assert not [line for line in halted if line.startswith(STARTS)]


def test_nothing_is_unwound_or_named_while_the_target_is_attached(
    build_target, cli, start_target, strace, tmp_path
):
    target, log = start_target(build_target("puppet.c")), tmp_path / "calls"
    trace = cli.start_trace(target.pid, wrapper=(strace, "-D", "-s", "200", "-o", log))
    target.ask("leak 3")
    trace.send(signal.SIGINT)
    [site] = trace.finish().report["sites"]
    calls = read_log(log)
    # The first plan is that of the rehearsal.
    *_, begin = (n for n, line in enumerate(calls) if "gdbleak-start plan" in line)
    end = next(n for n in range(begin, len(calls)) if "-target-detach" in calls[n])

    # The names are found by another GDB, the stacks are unwound with the ELF files.
    assert site["frames"][0]["function"] == "leak"
    assert any(line.startswith(STARTS) for line in calls[end:])
    assert str(target.process.args[0]) in opened(calls[end:])
    started = [line for line in calls[begin:end] if line.startswith(STARTS)]
    assert all("CLONE_THREAD" in line for line in started)
    assert {path for path in opened(calls[begin:end]) if not path.startswith("/proc/")} == set()
