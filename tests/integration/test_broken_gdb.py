"""Whatever GDBLEAK_GDB names: it works, or is refused in two lines, and the target is untouched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from support.bad_gdbs import HURRIED, BadGdb, assert_refused, assert_untouched
from support.crew import assert_released, stop, tracer_of
from support.processes import state_of, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace", "state")]

# Scripts, and what must be said of them.
BROKEN = {
    "crash": ("kill -SEGV $$", "was killed by SIGSEGV at its start"),
    "crash after a word": ("echo oops; kill -ABRT $$", "was killed by SIGABRT", "printed: oops"),
    "nothing": ("exit 3", "ended with exit status 3, and printed nothing"),
    "rubbish": ("echo; echo Hello there; echo more", "as a gdb with Python: Hello there"),
    "JSON of another kind": ("echo 17; echo '[1, 2]'", "as a gdb with Python: 17"),
    "bytes": ("printf '\\377\\033[2J\\n'", "as a gdb with Python: \ufffd\\x1b[2J"),
    "long line": ("head -c 9999 /dev/zero | tr '\\0' x", "as a gdb with Python: xxx", "..."),
    "no Python": (
        "echo 'Undefined set debuginfod command: \"enabled off\".'\n"
        "echo 'Python scripting is not supported in this copy of GDB.' >&2; exit 1",
        "has no Python inside: Python scripting is not supported in this copy of GDB.",
    ),
    "broken Python": (
        "echo 'Python Exception <type NameError> Installation error: gdb.execute is missing'",
        "as a gdb with Python: Python Exception <type NameError> Installation error",
    ),
    "traceback": (
        f"exec {sys.executable} -c 'raise NotImplementedError(\"missing libpython\")'",
        "as a gdb with Python: NotImplementedError: missing libpython",
    ),
}
SILENT = {
    "hangs": ("echo wait; exec sleep 600", "does not answer within", "printed: wait"),
    "hangs in a child": ("sleep 600", "does not answer within"),
    "endless words": ("exec yes no", "prints without end", "printed: no"),
}

# GDBs of which only the machine interface is broken. What they do with a line of it:
ONLY_MACHINE_INTERFACE = """#!{python}
import itertools, os, sys, time
if "-batch" in sys.argv:
    print('["99.9", "3.99"]')
    sys.exit()
for number in itertools.count(1):
    line = sys.stdin.readline()
    if not line:
        break
    {answer}
    sys.stdout.flush()
"""
ANSWERS = {
    "dies": ("sys.exit(7)", "at its start: gdb (process", "exited with status 7"),
    "agrees to everything": ("print('%d^done' % number)", "at the attach: it has not attached"),
    "agrees in a strange way": (
        "print('~\"[[7],{{}}]\"\\n%d^done,a=[}}' % number); print('%d^done' % number)",
        "at the attach: it has not attached",
    ),
    "refuses without a reason": (
        "print('%d^error' % number)",
        "at its start: it gives no reason",
    ),
}
DUMB = {
    "says nothing": ("pass", "at its start: gdb (process", "did not answer"),
    "half a list": ("print('%d^done,a=[' % number)", "at its start: gdb (process"),
    "rubbish": (
        "print('1^done,=]x[\\n*stopped,a=\"\\n=,,\\n&\"\\n^\\n' * 50)",
        "at its start: gdb (process",
    ),
    "endless rubbish": (
        "[os.write(1, b'*running,a=[{\\n' * 500) for _ in itertools.count()]",
        "at its start: gdb (process",
    ),
}


@pytest.fixture
def make_gdb(tmp_path):
    """Return a function that makes a program of a text or of bytes."""

    def make(content):
        path = tmp_path / "bin" / "gdb"
        path.parent.mkdir()
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def refuse(cli, make_gdb, puppet, state):
    """Return a function: a trace with such a GDB must be refused, in these words."""

    def refuse(content, *words, **options):
        path = make_gdb(content)
        result = cli.run("trace", puppet.pid, env={"GDBLEAK_GDB": str(path)}, **options)
        cure = assert_refused(result, path, *words)
        assert cure == f"  try: set GDBLEAK_GDB={shutil.which('gdb')}"
        assert_untouched(puppet, state)

    return refuse


@pytest.mark.parametrize("kind", BROKEN)
def test_program_that_is_no_gdb(refuse, kind):
    script, *words = BROKEN[kind]
    refuse(f"#!/bin/sh\n{script}\n", *words)


@pytest.mark.parametrize("kind", SILENT)
def test_program_that_does_not_end(refuse, kind):
    script, *words = SILENT[kind]
    refuse(f"#!/bin/sh\n{script}\n:\n", *words, wrapper=HURRIED)


@pytest.mark.parametrize("kind", ANSWERS)
def test_machine_interface_that_means_nothing(refuse, kind):
    answer, *words = ANSWERS[kind]
    refuse(ONLY_MACHINE_INTERFACE.format(python=sys.executable, answer=answer), *words)


@pytest.mark.parametrize("kind", DUMB)
def test_machine_interface_that_does_not_answer(refuse, kind):
    answer, *words = DUMB[kind]
    script = ONLY_MACHINE_INTERFACE.format(python=sys.executable, answer=answer)
    refuse(script, *words, wrapper=HURRIED)


def test_gdb_of_another_machine(refuse):
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xb7\0\x01\0\0\0" + bytes(40)  # aarch64
    refuse(header, "does not run: it was built for another machine than")


def test_text_that_is_no_script(refuse):
    refuse("gdb\n", "does not run: it is neither a program nor a script that begins with #!")


def test_script_whose_interpreter_is_missing(refuse):
    refuse("#!/nowhere/python\n", "does not run: the interpreter or loader that it names is")


def test_gdb_whose_libraries_are_missing(refuse, tmp_path):
    library, program = tmp_path / "libneeded.so", tmp_path / "program"
    empty = ("cc", "-x", "c", "-")
    subprocess.run([*empty, "-shared", "-o", library], input=b"int needed;", check=True)
    source = b"extern int needed; int main(void) { return needed; }"
    subprocess.run([*empty, "-x", "none", library, "-o", program], input=source, check=True)
    library.unlink()
    refuse(program.read_bytes(), "does not run: error while loading shared libraries", library.name)


def test_agent_in_the_syntax_of_another_python(refuse, tmp_path):
    agent = tmp_path / "agent.py"
    agent.write_text("import gdb\nprint 'of Python 2', `1`\n")
    refuse(
        f'#!/bin/bash\nexec {shutil.which("gdb")} "${{@/%*gdbleak_agent.py/{agent}}}"\n'.replace(
            f"/{agent}", "/" + str(agent).replace("/", "\\/")
        ),
        'at its start: Undefined command: "gdbleak-start"',
        "SyntaxError",
    )


def test_no_other_gdb_is_named_where_there_is_none(cli, make_gdb, puppet, tmp_path):
    path = make_gdb("#!/bin/sh\nexit 1\n")
    (tmp_path / "empty").mkdir()
    environment = {"GDBLEAK_GDB": str(path), "PATH": str(tmp_path / "empty")}
    cure = assert_refused(cli.run("trace", puppet.pid, env=environment), path)
    for word in ("apt-get install gdb", "gdbleak[gdb]", "GDBLEAK_GDB"):
        assert word in cure


@pytest.fixture(params=["exec sleep 600", "sleep 600\n:", "trap '' TERM HUP\n(sleep 600; :)\n:"])
def start_hanging(request, cli, make_gdb, tmp_path):
    """Return a function that starts gdbleak, and returns once its GDB hangs at its start."""

    def start(*arguments):
        mark = tmp_path / "hangs"
        path = make_gdb(f"#!/bin/sh\ntouch {mark}\n{request.param}\n")
        running = cli.start(*arguments, env={"GDBLEAK_GDB": str(path)})
        wait_until(lambda: mark.exists() and state_of(running.pid) == "S", "it was waited for")
        return running

    return start


@pytest.mark.parametrize("command", ["trace", "doctor"])
def test_ctrl_c_is_obeyed_while_gdb_hangs_at_its_start(start_hanging, puppet, state, command):
    running = start_hanging(command, puppet.pid)
    began = time.monotonic()
    running.press_ctrl_c()
    wait_until(lambda: running.has_ended, "it had ended")

    took_s = time.monotonic() - began
    result = running.finish()
    harmless = f" before the window began; process {puppet.pid} is as it was"
    said = "gdbleak: interrupted" + (harmless if command == "trace" else "")
    assert (result.exit_code, result.stderr) == (130, f"{said}\n")
    assert took_s < 1
    assert_untouched(puppet, state)


@pytest.mark.parametrize("command", ["trace", "doctor"])
def test_gdb_that_hangs_at_its_start_does_not_outlive_gdbleak(
    start_hanging, puppet, state, command
):
    running = start_hanging(command, puppet.pid)
    running.send(signal.SIGKILL)
    assert running.finish().exit_code == -signal.SIGKILL
    assert_untouched(puppet, state)


@pytest.mark.parametrize("by_script", [False, True])
def test_gdb_that_hangs_in_the_rehearsal_does_not_outlive_doctor(
    cli, make_gdb, puppet, state, tmp_path, by_script
):
    gdb = BadGdb(tmp_path / "bad", "before('attach', hang)")
    path = make_gdb(f'#!/bin/sh\n{gdb.path} "$@"\n:\n') if by_script else gdb.path
    doctor = cli.start("doctor", env={"GDBLEAK_GDB": str(path)})
    gdb.wait_until_it_hangs()
    doctor.send(signal.SIGKILL)
    wait_until(lambda: doctor.has_ended, "it had ended")
    assert_untouched(puppet, state)
    shutil.rmtree(cli.tmpdir)  # it could not clear up


def test_script_that_starts_gdb_has_as_much_time_for_symbols(cli, make_gdb, puppet, state):
    """Only the script stands still; GDB, which it waits for, works."""
    path = make_gdb(
        '#!/bin/sh\ncase "$*" in *symbols.py*) '
        f"timeout 5 {sys.executable} -c 'while True: pass' ;; esac\n"
        f'{shutil.which("gdb")} "$@"\n:\n'
    )
    trace = cli.start_trace(puppet.pid, env={"GDBLEAK_GDB": str(path)})
    assert puppet.ask("leak 3") == "leaked"
    trace.send(signal.SIGINT)
    report = trace.finish().report
    assert report["sites"][0]["function"] == "leak", report["notes"]
    assert_untouched(puppet, state)


@pytest.mark.parametrize("way", ["a filter of the kernel", "GDB's words"])
def test_nobody_may_trace(build_target, cli, puppet, state, tmp_path, way):
    if way == "GDB's words":
        sabotage = "before('attach', fail, 'ptrace: Operation not permitted.')"
        gdb, wrapper = str(BadGdb(tmp_path / "bad", sabotage).path), []
    else:
        forbid = build_target("forbid.c", "-DFORBID_PTRACE", name="forbid-ptrace")
        gdb, wrapper = shutil.which("gdb") or "gdb", [forbid]
    arguments = ("trace", puppet.pid, "--probe", "breakpoint")
    result = cli.run(*arguments, env={"GDBLEAK_GDB": str(gdb)}, wrapper=wrapper)

    cure = assert_refused(result, f"({gdb})", "at the attach: ", "Operation not permitted; yours")
    assert "docker run --cap-add SYS_PTRACE" in cure
    assert "kernel.yama.ptrace_scope" in cure
    assert_untouched(puppet, state)


@pytest.fixture
def trace_by_script(cli, make_gdb, puppet):
    """Return a trace whose GDB was started by a script that waits for it."""
    path = make_gdb(f'#!/bin/sh\n{shutil.which("gdb")} "$@"\nexit $?\n')
    trace = cli.start_trace(puppet.pid, env={"GDBLEAK_GDB": str(path)})
    assert puppet.ask("leak 3") == "leaked"
    return trace


def test_script_that_starts_gdb_will_do(puppet, state, trace_by_script):
    trace_by_script.send(signal.SIGINT)
    report = trace_by_script.finish().report
    assert (report["window"]["allocations"], report["verification"]["ok"]) == (3, True)
    assert_untouched(puppet, state)


def test_gdbleak_is_killed_whose_gdb_was_started_by_a_script(puppet, state, trace_by_script):
    trace_by_script.send(signal.SIGKILL)
    assert_released(puppet)
    assert_untouched(puppet, state)


def test_gdb_is_killed_that_was_started_by_a_script(puppet, state, trace_by_script):
    os.kill(tracer_of(puppet.pid), signal.SIGKILL)
    report = trace_by_script.finish().report
    assert report["window"]["ended_by"] == "debugger-died"
    assert report["verification"]["ok"] is True
    assert_untouched(puppet, state)


def test_gdb_hangs_that_was_started_by_a_script(puppet, state, trace_by_script):
    gdb = tracer_of(puppet.pid)
    stop(gdb)
    trace_by_script.send(signal.SIGINT)
    report = trace_by_script.finish().report
    assert report["verification"]["ok"] is True
    assert not psutil.pid_exists(gdb)
    assert_untouched(puppet, state)
