"""Whatever GDB does wrong in the rehearsal is seen there, and keeps it away from the target."""

from __future__ import annotations

import signal
import time

import psutil
import pytest
from support.bad_gdbs import HURRIED, HURRIED_S, BadGdb, assert_refused, assert_untouched
from support.crew import running_beside
from support.processes import lives, wait_until

from gdbleak.capture.rehearsal import START_TIMEOUT_S
from gdbleak.debugger.program import find_gdb

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]

# What a GDB does wrong, in Python, and what must be said of it.
REFUSED = {
    "attach is refused": ("before('attach', fail)", "at the attach: Cannot do that"),
    "attach is unknown": (
        "before('attach', fail, 'Undefined command: attach.')",
        "at the attach: Undefined command: attach",
    ),
    "another machine": (
        "before('attach', fail, 'Don\\'t know how to attach.')",
        "at the attach: Don't know how to attach",
    ),
    "a breakpoint is refused": (
        "@replace(Probe, '__init__')\ndef _(original, *_): fail()",
        "at the attach: Cannot do that",
    ),
    "catch is refused": ("before('catch', fail)", "at the attach: Cannot do that"),
    "continue is refused": ("before('continue', fail)", "at the attach: Cannot do that"),
    "a thread is not held": (
        "@replace(Threads, 'invoke')\n"
        "def _(original, self, *_):\n"
        "    first = gdb.selected_inferior().threads()[0].ptid[1]\n"
        "    gdb.write('[%d]\\n' % first)",
        "at the attach: of 5 threads it holds 1",
    ),
    "breakpoints are not written": (
        "@replace(Probe, '__init__')\n"
        "def _(original, self, *arguments):\n"
        "    original(self, *arguments)\n"
        "    self.enabled = False",
        "at a breakpoint: it was not written into the code",
    ),
    "registers are changed": (
        "@replace(Probe, 'stop')\n"
        "def _(original, self):\n"
        "    original(self)\n"
        "    gdb.execute('set var $rdi = 5')\n"
        "    return False",
        "at a breakpoint: the thread that ran into it went on with wrong registers",
    ),
    "the thread dies at a breakpoint": (
        "@replace(Probe, 'stop')\n"
        "def _(original, self):\n"
        "    original(self)\n"
        "    gdb.execute('set var $rip = 0')\n"
        "    return False",
        "at a breakpoint: the thread that ran into it was killed by SIGSEGV",
    ),
    "breakpoints are not written over": (
        "@replace(Code, 'put')\ndef _(original, *_): pass",
        "at the turn of breakpoints: they could not be written over while it ran",
    ),
    "memory cannot be written": (
        "@replace(Code, 'put')\ndef _(original, *_): raise OSError(5, 'Input/output error')",
        "at the turn of breakpoints: they could not be written over while it ran: Input/output",
    ),
    "breakpoints are not written back": (
        "@replace(Code, 'put')\n"
        "def _(original, self, wanted):\n"
        "    original(self, [probe for probe in wanted if not wanted])",
        "at the turn of breakpoints",
    ),
    "a hit is not recorded": (
        "@replace(Probe, 'record')\ndef _(original, *_): pass",
        "at the recording: of 6 calls it holds 0",
    ),
    "a hit is recorded twice": (
        "@replace(Probe, 'record')\n"
        "def _(original, *arguments):\n"
        "    original(*arguments)\n"
        "    original(*arguments)",
        "at the recording: of 6 calls it holds 12",
    ),
    "registers are read wrong": (
        "import builtins\n"
        "@replace(gdb, 'parse_and_eval')\n"
        "def _(original, text): return original('(unsigned long)0')",
        "at the recording: of 6 calls it holds 6, or not what they were",
    ),
    "detach is refused": ("on_detach(lambda _: fail())", "at the detach: Cannot do that"),
    "a breakpoint stays": (
        "after_detach(lambda: write(address(), b'\\xcc'))",
        "at the detach: breakpoints stayed in the code",
    ),
    "a copied instruction stays": (
        "def spoil():\n"
        "    words = struct.iter_unpack('QQ', open('/proc/%d/auxv' % pid(), 'rb').read())\n"
        "    write(dict(words)[9] + 2, b'AW')\n"
        "after_detach(spoil)",
        "at the detach: breakpoints stayed in the code",
    ),
    "a thread stays stopped": (
        "def stop():\n"
        "    os.kill(pid(), signal.SIGSTOP)\n"
        "    while ') T ' not in open('/proc/%d/stat' % pid()).read(): time.sleep(0.01)\n"
        "after_detach(stop)",
        "at the detach: after it, a thread was still traced or stopped",
    ),
    "the process dies of the detach": (
        "after_detach(lambda: os.kill(pid(), signal.SIGKILL))",
        "at the detach: after it, the process was killed by SIGKILL",
    ),
    "the process dies when it runs on": (
        "after_detach(lambda: write(address() + 1, b'\\x0f\\x0b' * 8))",
        "at the detach: after it, the process was killed by SIG",
    ),
}
# What takes until gdbleak has lost patience.
SILENT = {
    "no record of the start": (
        "@replace(Window, 'start')\n"
        "def _(original, *arguments):\n"
        "    original(*arguments)\n"
        "    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
        "at the attach: gdb (process",
    ),
    "attach hangs": ("before('attach', hang)", "at the attach: gdb (process"),
    "turn hangs": (
        "@replace(Code, 'put')\ndef _(original, *_): hang()",
        "at the turn of breakpoints: gdb (process",
    ),
    "a thread does not go on": (
        "@replace(Probe, 'stop')\ndef _(original, *_): return True",
        "at a breakpoint: the thread that ran into it did not go on",
    ),
    "a forked process does not live": (
        "gdb.execute('set detach-on-fork off')",
        "at a fork: the new process did not live",
    ),
    "detach hangs": ("on_detach(lambda _: hang())", "at the detach: gdb (process"),
    "the halt is not reported": (
        "on_detach(lambda _: fail())\n"
        "gdb.execute('define hookpost-handle\\nhandle SIGSTOP nostop noprint nopass\\nend')",
        "at the detach: gdb (process",
    ),
}


@pytest.fixture
def refuse(cli, puppet, state, tmp_path):
    """Return a function: a trace with a GDB that some Python breaks must be refused, and how."""

    def refuse(sabotage, *words, limit_s=START_TIMEOUT_S, **options):
        gdb, began = BadGdb(tmp_path / "bad", sabotage), time.monotonic()
        result = cli.run("trace", puppet.pid, env={"GDBLEAK_GDB": str(gdb.path)}, **options)
        took_s = time.monotonic() - began

        cure = assert_refused(result, f"gdb {find_gdb().version} ({gdb.path}) failed", *words)
        assert "GDBLEAK_GDB" in cure
        assert took_s < limit_s
        assert puppet.pid not in gdb.attached
        assert_untouched(puppet, state)
        return gdb

    return refuse


@pytest.mark.parametrize("mistake", REFUSED)
def test_mistake_is_caught(refuse, mistake):
    sabotage, words = REFUSED[mistake]
    refuse(sabotage, words, "yours was not touched")


@pytest.mark.parametrize("mistake", SILENT)
def test_gdb_that_does_not_answer_is_given_up(refuse, mistake):
    sabotage, words = SILENT[mistake]
    refuse(sabotage, words, wrapper=HURRIED, limit_s=START_TIMEOUT_S + HURRIED_S)


# Where GDB is when it dies, or when gdbleak does.
MOMENTS = {
    "the start": ("{how}()", "its start"),
    "before the attach": ("before('attach', {how})", "the attach"),
    "attached": ("before('catch', {how})", "the attach"),
    "about to continue": ("before('continue', {how})", "the attach"),
    "asked for threads": (
        "@replace(Threads, 'invoke')\ndef _(original, *_): {how}()",
        "the attach",
    ),
    "at a breakpoint": (
        "@replace(Probe, 'stop')\ndef _(original, *_): {how}()",
        "a breakpoint",
    ),
    "at a turn": ("@replace(Code, 'put')\ndef _(original, *_): {how}()", "the turn of"),
    "asked for counts": (
        "@replace(Status, 'invoke')\ndef _(original, *_): {how}()",
        "the recording",
    ),
    "about to detach": ("on_detach(lambda _: {how}())", "the detach"),
    "detached": ("after_detach({how})", "the detach"),
}
DEATHS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.mark.parametrize("moment", MOMENTS)
def test_gdb_is_killed(refuse, moment):
    sabotage, step = MOMENTS[moment]
    refuse(sabotage.format(how="die"), f"at {step}")


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_gdbleak_is_ended(cli, puppet, state, tmp_path, moment, death):
    gdb = BadGdb(tmp_path / "bad", MOMENTS[moment][0].format(how="hang"))
    trace = cli.start("trace", puppet.pid, env={"GDBLEAK_GDB": str(gdb.path)})
    gdb.wait_until_it_hangs()
    trace.send(death)
    if death == signal.SIGKILL:
        gdb.go_on()
        wait_until(lambda: running_beside(puppet) == [], "GDB, the guard and the stand-in ended")
    result = trace.finish()

    killed = death == signal.SIGKILL
    assert (result.exit_code, result.stdout) == (-signal.SIGKILL if killed else 130, "")
    said = f"gdbleak: interrupted before the window began; process {puppet.pid} is as it was\n"
    assert result.stderr == ("" if killed else said)
    assert puppet.pid not in gdb.attached
    assert_untouched(puppet, state)


@pytest.mark.parametrize("moment", ["before the attach", "at a breakpoint", "about to detach"])
def test_gdb_that_hangs_does_not_outlive_gdbleak(cli, puppet, state, tmp_path, moment):
    gdb = BadGdb(tmp_path / "bad", MOMENTS[moment][0].format(how="hang"))
    trace = cli.start("trace", puppet.pid, env={"GDBLEAK_GDB": str(gdb.path)})
    gdb.wait_until_it_hangs()
    trace.send(signal.SIGKILL)

    assert_untouched(puppet, state)
    assert trace.finish().exit_code == -signal.SIGKILL


# Before GDB 11, a detach from a process that runs leaves the breakpoints in it.
OLD = """
@on_detach
def detach(original):
    runs = any(thread.is_running() for thread in gdb.selected_inferior().threads())
    process, probes = pid(), window_plans[-1]["probes"]
    original()
    if runs:
        for probe in probes:
            write(probe["address"], b"\\xcc")
"""


@pytest.mark.parametrize("program", ["puppet.c", "worker.c"])
def test_gdb_that_cannot_detach_from_what_runs_halts_it_first(
    build_target, cli, start_target, state, tmp_path, program
):
    target, gdb = start_target(build_target(program)), BadGdb(tmp_path / "bad", OLD)
    trace = cli.start_trace(target.pid, env={"GDBLEAK_GDB": str(gdb.path)})
    if program == "puppet.c":
        assert target.ask("leak 3") == "leaked"
    trace.send(signal.SIGINT)

    report = trace.finish().report
    assert report["window"]["ended_by"] == "interrupt"
    assert report["verification"]["ok"] is True
    first, second, last = gdb.attached
    assert (len({first, second, target.pid}), last) == (3, target.pid)
    target.assert_as_found()
    if program == "puppet.c":
        assert report["window"]["allocations"] == 3
        assert_untouched(target, state)
    else:
        assert target.ask("end").endswith(" 0 damaged")
        assert target.wait() == 0


def test_doctor_tells_of_a_gdb_that_fails(cli, tmp_path):
    gdb = BadGdb(tmp_path / "bad", REFUSED["a hit is not recorded"][0])
    result = cli.run("doctor", env={"GDBLEAK_GDB": str(gdb.path)})

    assert result.exit_code == 1
    problem, cure, *others = result.stdout.splitlines()[1:]
    assert problem.startswith(f"problem  gdb {find_gdb().version} ({gdb.path}) failed on a process")
    assert cure == f"           try: set GDBLEAK_GDB={find_gdb().path}"
    assert [line for line in others if not line.startswith("ok ")] == []


def test_doctor_tells_of_a_gdb_that_halts_first(cli, tmp_path):
    result = cli.run("doctor", env={"GDBLEAK_GDB": str(BadGdb(tmp_path / "bad", OLD).path)})
    assert result.exit_code == 0
    assert "s; it halts a process before it detaches" in result.stdout


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_doctor_is_ended(cli, tmp_path, end):
    gdb = BadGdb(tmp_path / "bad", MOMENTS["at a breakpoint"][0].format(how="hang"))
    doctor = cli.start("doctor", env={"GDBLEAK_GDB": str(gdb.path)})
    gdb.wait_until_it_hangs()
    doctor.send(end)

    result = doctor.finish()
    assert (result.exit_code, result.stderr) == (130, "gdbleak: interrupted\n")
    wait_until(
        lambda: not any(map(lives, psutil.Process().children(recursive=True))),
        "GDB and the stand-in had ended",
    )
