"""`gdbleak trace --probe inline`: everything is recorded, and nothing is left in the process."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.crew import assert_released, running_beside, stop
from support.exactness import assert_exact, sum_by_line
from support.libraries import LIBRARIES, find_library
from support.processes import status_of, wait_until

from gdbleak.inline.ring import DROPPED, LEVELS, READ, WORD_BYTES
from gdbleak.target.proc import Memory, read_state

pytestmark = pytest.mark.usefixtures("needs_ptrace", "state")

FLAGS = ("-fno-optimize-sibling-calls",)
INLINE = ("--probe", "inline")
TARGETS = Path(__file__).parents[1] / "targets"


@pytest.fixture
def musl_gcc():
    """Return the compiler for musl."""
    if shutil.which("musl-gcc") is None:
        pytest.skip("musl-gcc is not installed: run .ci/setup test")
    return "musl-gcc"


@pytest.mark.parametrize("flag", ["-pie", "-no-pie", "-static", "-static-pie"])
def test_glibc(cli, build_target, start_target, flag):
    target = start_target(build_target("exact.cpp", *FLAGS, flag))
    assert_exact(cli, target, "glibc", *INLINE)
    assert_released(target)


def test_again_and_again(cli, build_target, start_target):
    target = start_target(build_target("exact.cpp", *FLAGS))
    for _ in range(3):
        assert_exact(cli, target, "glibc", *INLINE)


@pytest.mark.parametrize("name", LIBRARIES)
def test_other_allocators(cli, build_target, start_target, name):
    program = build_target("sites.c", *FLAGS)
    target = start_target("env", f"LD_PRELOAD={find_library(LIBRARIES[name])}", program)
    assert_exact(cli, target, name.split()[0], *INLINE)


@pytest.mark.parametrize("name", LIBRARIES)
def test_operator_new_that_may_throw(cli, build_target, start_target, name):
    library = find_library(LIBRARIES[name])
    target = start_target("env", f"LD_PRELOAD={library}", build_target("exact.cpp", *FLAGS))
    assert_exact(cli, target, name.split()[0], *INLINE)
    assert_released(target)


def test_musl(cli, musl_gcc, start_target, tmp_path):
    program = tmp_path / "sites"
    command = [musl_gcc, "-g", "-O1", *FLAGS, "-o", program, TARGETS / "sites.c"]
    subprocess.run(command, check=True)
    assert_exact(cli, start_target(program), "musl", *INLINE)


def test_what_the_report_says(cli, puppet):
    trace = cli.start_trace(puppet.pid, *INLINE)
    assert puppet.ask("leak 10") == "leaked"
    trace.send(signal.SIGINT)
    report = trace.finish().report
    [site] = report["sites"]
    inline = report["window"]["inline"]

    assert (site["outstanding_count"], report["verification"]["ok"]) == (10, True)
    assert (inline["lost"], inline["one_of"], inline["left"]) == (0, 1, None)
    window = report["window"]
    assert window["events"] >= window["allocations"] + window["frees"] >= 10
    assert Path(inline["path"]).name == "libc.so.6"
    assert (inline["functions"] > 5, 1000 < inline["code_bytes"] < 4096) == (True, True)
    assert report["window"]["stops"] == inline["attaches"] >= 4
    assert report["window"]["sampling"] is None


def test_children_are_counted(cli, build_target, start_target):
    target = start_target(build_target("waiting.c"), "read")
    older = int(target.ask("fork 9"))
    trace = cli.start_trace(target.pid, *INLINE)
    lasting, killed = (int(target.ask("fork 9")) for _ in range(2))
    os.kill(killed, signal.SIGKILL)
    trace.send(signal.SIGINT)
    window = trace.finish().report["window"]

    assert (window["children"], window["inline"]["children"]) == (2, 1)
    for child in (older, lasting):
        os.kill(child, signal.SIGKILL)


def test_the_process_ends(cli, puppet):
    trace = cli.start_trace(puppet.pid, *INLINE)
    assert puppet.ask("leak 10") == "leaked"
    puppet.process.kill()
    puppet.process.wait()
    report = trace.finish().report

    assert report["window"]["ended_by"] in ("target-exit", "target-killed")
    assert report["verification"]["ok"] is None


def test_a_second_gdbleak(cli, puppet):
    trace = cli.start_trace(puppet.pid, *INLINE)
    second = cli.start("trace", puppet.pid, *INLINE)
    wait_until(lambda: second.has_ended, "it had ended")
    trace.send(signal.SIGINT)
    assert trace.finish().report["verification"]["ok"] is True
    refused = second.finish()
    assert (refused.exit_code, "gdbleak is already tracing" in refused.stderr) == (3, True)


def test_gdbleak_is_killed(cli, puppet):
    trace = cli.start_trace(puppet.pid, *INLINE)
    trace.send(signal.SIGKILL)
    wait_until(lambda: trace.has_ended, "gdbleak had ended")
    assert puppet.ask("leak 10") == "leaked"
    rescued = cli.run("rescue", puppet.pid)

    assert rescued.exit_code == 0, rescued
    assert puppet.ask("leak 10") == "leaked"
    assert "nothing to repair" not in rescued.stdout
    assert "there is no journal" in cli.run("rescue", puppet.pid).stdout
    trace.end()


def test_everything_is_killed(cli, puppet):
    """Nobody is left who could remove the private folder."""
    trace = cli.start_trace(puppet.pid, *INLINE)
    doomed = running_beside(puppet)
    for process in doomed:
        process.suspend()
    for process in doomed:
        process.kill()
    wait_until(lambda: running_beside(puppet) == [], "all had ended")
    [folder] = cli.tmpdir.glob("gdbleak-*")
    rescued = cli.run("rescue", puppet.pid)

    assert rescued.exit_code == 0, rescued
    assert f"removed {folder}" in rescued.stdout
    assert puppet.ask("leak 10") == "leaked"
    trace.end()


def test_mappings_are_refused(cli, puppet):
    refused = cli.run("trace", puppet.pid, *INLINE, "--mappings")
    assert refused.exit_code == 3
    assert "mmap" in refused.stderr


def test_a_python_without_numpy(cli, puppet, tmp_path):
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError('none here', name='numpy')\n")
    paths = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    refused = cli.run("trace", puppet.pid, *INLINE, env={"PYTHONPATH": paths})

    assert refused.exit_code == 3
    cause, cure = refused.stderr.splitlines()[-2:]
    assert "the Python package numpy, which is missing" in cause
    assert ("`pip install numpy`" in cure, "--probe breakpoint" in cure) == (True, True)
    traced = cli.start_trace(puppet.pid, env={"PYTHONPATH": paths})
    assert puppet.ask("leak 10") == "leaked"
    traced.send(signal.SIGINT)
    assert [site["outstanding_count"] for site in traced.finish().report["sites"]] == [10]
    traced = cli.start_trace(puppet.pid, "--duration", 2, env={"PYTHONPATH": paths})
    assert puppet.ask("leak 10") == "leaked"
    result = traced.finish()
    references = result.report["window"]["references"]
    assert (references["looks"], "Traceback" in result.stderr) == (0, False)
    assert references["reason"].endswith("has ended: ModuleNotFoundError: none here")


def test_sums_are_those_of_a_saved_recording(cli, build_target, start_target, tmp_path):
    target = start_target(build_target("exact.cpp", *FLAGS))
    saved = tmp_path / "recording"
    truth = []
    result = cli.record(target.pid, saved, lambda: truth.append(target.ask("go")), *INLINE)
    again = cli.run("report", saved, "--older", 0, "--format", "json")

    assert sum_by_line(again.report) == sum_by_line(result.report)
    assert {site["line"] for site in json.loads(truth[0])} == set(sum_by_line(again.report))


def test_another_program(cli, puppet, build_target):
    trace = cli.start_trace(puppet.pid, *INLINE)
    assert puppet.ask("leak 10") == "leaked"
    puppet.tell(f"exec {build_target('puppet.c')}")
    assert puppet.lines.next() == "ready"

    assert trace.finish().report["window"]["ended_by"] == "target-exec"
    assert puppet.ask("leak 3") == "leaked"


EXCEPTIONS = """
#include <cstdio>
#include <new>
#include <string>
#include <unistd.h>
static volatile long thrown, right;
__attribute__((noinline)) static void ask(std::size_t size)
{
    try {
        delete[] new char[size];
    } catch (const std::bad_alloc &) {
        thrown++;
    }
}
int main()
{
    std::setvbuf(stdout, nullptr, _IONBF, 0);
    std::puts("ready");
    char line[100];
    while (std::fgets(line, sizeof line, stdin)) {
        for (int i = 0; i < 1000; i++) {
            ask(100);
            ask(std::size_t(1) << 60);
        }
        std::printf("%ld\\n", thrown);
    }
}
"""


def test_exceptions_pass(cli, start_target, tmp_path):
    source, program = tmp_path / "throws.cpp", tmp_path / "throws"
    source.write_text(EXCEPTIONS)
    subprocess.run(["c++", "-O1", "-o", program, source], check=True)
    target = start_target(program)
    trace = cli.start_trace(target.pid, *INLINE)
    assert target.ask("go") == "1000"
    trace.send(signal.SIGINT)
    report = trace.finish().report

    assert report["verification"]["ok"] is True
    # Of the blocks, and of the exceptions.
    assert report["window"]["allocations"] == report["window"]["frees"] == 2000
    assert target.ask("go") == "2000"


def has_begun(running):
    """Return whether gdbleak runs by now, and not only its Python."""
    caught = int(status_of(Path(f"/proc/{running.pid}"))["SigCgt"], 16)
    return caught >> signal.SIGTERM - 1 & 1


def interrupt(cli, pid, after_s):
    """Trace, press Ctrl-C, and return what became of it."""
    running = cli.start("trace", pid, *INLINE, "--duration", 0.5, "--format", "json")
    wait_until(lambda: has_begun(running), "gdbleak ran")
    time.sleep(after_s)
    if not running.has_ended:
        running.press_ctrl_c()
    return running.finish()


@pytest.mark.slow
def test_ctrl_c_at_any_moment(cli, puppet):
    began = time.monotonic()
    cli.run("trace", puppet.pid, *INLINE, "--duration", 0.5)
    whole_s = time.monotonic() - began
    dice = random.Random("inline")
    for _ in range(6):
        result = interrupt(cli, puppet.pid, dice.random() * whole_s)
        assert "Traceback" not in result.stderr
        assert result.exit_code in (0, 130)
        assert result.exit_code or result.report["verification"]["ok"] is True
        assert puppet.ask("leak 10") == "leaked"
        assert "there is no journal" in cli.run("rescue", puppet.pid).stdout


ENDING = """
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
static void *work(void *_)
{
    char line[100];
    setvbuf(stdout, NULL, _IONBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        for (int i = 0; i < 1000; i++)
            free(malloc(100));
        puts("allocated");
    }
    exit(0);
}
int main(void)
{
    pthread_t thread;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_create(&thread, NULL, work, NULL);
    sigset_t end;
    int number;
    sigemptyset(&end);
    sigaddset(&end, SIGUSR1);
    sigwait(&end, &number);
    pthread_exit(NULL);
}
"""


def test_main_thread_that_ends_in_the_window(cli, start_target, tmp_path):
    """GDB cannot attach to such a process any more: it is said, and the recorder is off."""
    source, program = tmp_path / "ends.c", tmp_path / "ends"
    source.write_text(ENDING)
    subprocess.run(["cc", "-pthread", "-o", program, source], check=True)
    target = start_target(program)
    trace = cli.start_trace(target.pid, *INLINE)
    target.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: read_state(target.pid) == "Z", "the main thread had ended")
    assert target.ask("go") == "allocated"
    trace.send(signal.SIGINT)
    result = trace.finish()

    assert result.exit_code == 1
    assert "main thread has ended" in result.report["window"]["inline"]["left"]
    assert result.report["window"]["allocations"] >= 1000
    assert f"gdbleak rescue {target.pid}" in result.stderr
    rescued = cli.run("rescue", target.pid)
    assert (rescued.exit_code, "main thread has ended" in rescued.stdout) == (1, True)
    assert target.ask("go") == "allocated"
    target.process.kill()
    target.process.wait()


def test_gdbleak_stands_still_for_a_while(cli, state, build_target, start_target):
    """The ring becomes full, and calls are left out. It is read on then, and the report tells."""
    target = start_target(build_target("waiting.c"), "hot")
    trace = cli.start_trace(target.pid, *INLINE)
    [journal] = state.glob("*.journal")
    plan = json.loads(journal.read_text().partition("\n")[0])
    head = plan["inline"]["ring"]["address"]
    with Memory(target.pid) as memory:

        def read(place):
            return int.from_bytes(memory.read(head + place, WORD_BYTES), "little")

        stop(trace.pid)
        wait_until(lambda: read(DROPPED + (LEVELS + 1) * WORD_BYTES), "the ring was full")
        before = read(READ)
        trace.send(signal.SIGCONT)
        wait_until(lambda: read(READ) > before, "it was read again")
    trace.send(signal.SIGINT)
    report = trace.finish().report
    inline = report["window"]["inline"]

    assert (report["verification"]["ok"], inline["left"]) == (True, None)
    assert (inline["lost"] > 0, inline["one_of"]) == (True, 1 << LEVELS)
    target.tell("wake")
    assert target.lines.next().split()[1].isdecimal()
    assert target.process.stdin
    target.process.stdin.close()
    assert target.wait() == 0
