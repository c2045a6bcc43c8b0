"""Whatever GDB does wrong in the rehearsal is seen there, and keeps it away from the target."""

from __future__ import annotations

import signal
import time

import pytest
from support.bad_gdbs import HURRIED, HURRIED_S, BadGdb, assert_refused, assert_untouched
from support.processes import wait_until

from gdbleak.capture.agent import DETACH_TIMEOUT_S
from gdbleak.capture.rehearsal import START_TIMEOUT_S
from gdbleak.gdb_program import find_gdb

pytestmark = pytest.mark.usefixtures("needs_ptrace")

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
        "after_detach(lambda: os.kill(pid(), signal.SIGSTOP))",
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
def state(tmp_path, monkeypatch):
    """Return the folder of journals, which is the test's own."""
    folder = tmp_path / "state"
    monkeypatch.setenv("GDBLEAK_STATE", str(folder))
    return folder


@pytest.fixture
def puppet(build_target, start_target):
    """Return a program that gdbleak could trace."""
    return start_target(build_target("puppet.c"))


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
