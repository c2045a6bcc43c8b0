"""Whatever GDB does wrong when it puts a recorder in is seen on a process of ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gdbleak.capture.inline_rehearsal import proved_visitor
from gdbleak.debugger.program import find_gdb
from gdbleak.errors import UnprovedError

pytestmark = pytest.mark.usefixtures("needs_ptrace")

MAX_PAUSE_S = 2.0
# What a GDB does wrong, in Python, and what must be said of it.
REFUSED = {
    "the attach is refused": (
        "def refuse(self): raise gdb.error('Cannot do that')\nVisit.attach = refuse",
        "at the injection: the recorder cannot be put into process {pid}: Cannot do that",
    ),
    "a thread is not held": (
        "take = Visit.do_registers\n"
        "def less(self, step): self.threads = self.threads[1:]; take(self, step)\n"
        "Visit.do_registers = less",
        "at the injection: it did not hold every thread",
    ),
    "code is not written": (
        "Visit.do_write = lambda *_: None",
        "at the injection: ",
    ),
    "no thread runs the routine": (
        "Thread.go_to = lambda *_: None",
        "at the injection: process {pid} did not get 0 MB of memory",
    ),
    "a thread gets lost": (
        "def lose(self, _): gdb.execute('set var $rip = 0')\nThread.go_to = lose",
        "at the injection: ",
    ),
    "the jumps are not taken out": (
        "put = Visit.do_write\n"
        "def keep(self, step):\n"
        "    if len(step['hex']) > 100 or step['hex'][:2] == 'e9': put(self, step)\n"
        "Visit.do_write = keep",
        "at the removal: process {pid} still holds",
    ),
    "it stays": (
        "Visit.leave = lambda self: os.close(self.memory)",
        "at the injection: gdb (process {gdb}) has not detached",
    ),
    "it hangs while it holds the process": (
        "Visit.do_write = lambda *_: time.sleep(60)",
        "at the injection: gdb (process {gdb}) did not let go of process {pid} within 2000 ms",
    ),
    "it dies": (
        "Visit.do_hijack = lambda *_: os.kill(os.getpid(), signal.SIGKILL)",
        "at the injection: gdb (process {gdb}) was killed by signal 9",
    ),
    "it says nothing": (
        "gdb.write = lambda *_: None",
        "at the injection: gdb does not tell what it has done",
    ),
}


def test_a_good_gdb_is_proved(tmp_path):
    with proved_visitor(find_gdb(), tmp_path, MAX_PAUSE_S) as visitor:
        assert visitor.launches == 1


@pytest.mark.parametrize(("sabotage", "said"), REFUSED.values(), ids=REFUSED)
def test_a_bad_gdb_is_refused(tmp_path, sabotage, said):
    gdb, script, program = find_gdb(), tmp_path / "sabotage.py", tmp_path / "bad-gdb"
    script.write_text(sabotage)
    program.write_text(f'#!/bin/sh\nexec {gdb.path} "$@" -x {script}\n')
    program.chmod(0o700)
    bad = replace(gdb, path=str(program))

    with pytest.raises(UnprovedError) as raised, proved_visitor(bad, tmp_path, MAX_PAUSE_S):
        pass

    for part in said.replace("{gdb}", "{pid}").split("{pid}"):
        assert part in str(raised.value)
    assert "yours was not touched" in str(raised.value)
