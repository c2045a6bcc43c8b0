"""However and whenever gdbleak dies, its target lives on, and nothing is left of the trace."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress

import psutil
import pytest
from support.cli import GDBLEAK
from support.crew import TORTURE, assert_released, find_gdb, tracer_of
from support.processes import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]

ATTEMPTS = 2 * TORTURE
JITTER_S = 0.03
LIFE_S = 3
"""So long does a trace of a fifth of a second take, report and proof included."""


class Trace:
    """A gdbleak with a terminal or a pipe for its output, which nobody reads."""

    def __init__(self, target, folder, duration_s, terminal):
        self.target = target
        self.folder = folder
        self.reader: int | None
        self.reader, self.writer = os.openpty() if terminal else os.pipe()
        # With a terminal, `setsid` makes gdbleak the leader of a session that the terminal owns.
        wrapper = ["setsid", "--ctty"] if terminal else []
        self.process = subprocess.Popen(
            [
                *(*wrapper, *GDBLEAK, "trace", str(target.pid), "--probe", "breakpoint"),
                *("--duration", str(duration_s)),
            ],
            env={**os.environ, "TMPDIR": str(folder), "GDBLEAK_STATE": str(folder / "state")},
            stdout=self.writer,
            stderr=self.writer,
            stdin=self.writer if terminal else subprocess.DEVNULL,
        )
        self.pid = self.process.pid

    def recorded(self):
        """Return the size of the recording so far."""
        return sum(path.stat().st_size for path in self.folder.glob("gdbleak-*/recording"))

    def close_reader(self):
        """Close what gdbleak writes to: a terminal, or the other end of a pipe."""
        assert self.reader is not None
        os.close(self.reader)
        self.reader = None

    def fill_pipe(self):
        """Leave no room for another byte."""
        os.set_blocking(self.writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(self.writer, bytes(4096))
        with suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"\0")
        os.set_blocking(self.writer, True)

    def end(self):
        """End it, if it has survived."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(60)
        os.close(self.writer)
        if self.reader is not None:
            os.close(self.reader)


DEATHS = {
    "SIGKILL": lambda trace: trace.process.kill(),
    "SIGTERM": lambda trace: trace.process.terminate(),
    "SIGHUP": lambda trace: trace.process.send_signal(signal.SIGHUP),
    "terminal closed": Trace.close_reader,
    "reader gone": Trace.close_reader,
    "full pipe": Trace.fill_pipe,
}

# What gdbleak has to have reached for the moment to come, a random instant later.
MOMENTS = {
    "start": lambda _: True,
    "gdb started": lambda trace: find_gdb(trace.pid),
    "attached": lambda trace: tracer_of(trace.target.pid),
    "recording": lambda trace: trace.recorded() > 20_000,
    "end of the window": lambda trace: trace.recorded() > 60_000,
}


@pytest.fixture(params=[100, 0], ids=["100 a second", "without pause"])
def target(request, build_target, start_target):
    """Return a program that allocates and frees at a given rate."""
    return start_target(build_target("paced.c"), str(request.param))


@pytest.mark.parametrize("death", DEATHS)
def test_target_outlives_gdbleak(target, tmp_path, death):
    dice = random.Random(death)
    for attempt in range(ATTEMPTS):
        moment = dice.choice(list(MOMENTS))
        print(f"attempt {attempt}: {death} at {moment}")  # noqa: T201 - pytest shows it
        assert_survives(target, tmp_path / str(attempt), death, moment, dice.random() * JITTER_S)
    assert target.ask("end").endswith(" rounds")
    assert target.wait() == 0


def assert_survives(target, folder, death, moment, delay_s):
    folder.mkdir()
    # Nobody ends a window whose gdbleak lives on without a reader.
    lasting = death not in ("reader gone", "full pipe") and moment != "end of the window"
    trace = Trace(target, folder, 600 if lasting else 0.5, death == "terminal closed")
    try:
        wait_until(lambda: trace.process.poll() is not None or MOMENTS[moment](trace), moment, 60)
        time.sleep(delay_s)
        died = time.monotonic()
        DEATHS[death](trace)
        if death == "full pipe" and moment in ("start", "gdb started"):
            wait_until(lambda: tracer_of(target.pid), "gdbleak had attached all the same")
        wait_until(lambda: tracer_of(target.pid) == 0, "nobody traced the target")
        print(f"free after {time.monotonic() - died:.3f} s")  # noqa: T201 - for -rP
        if death == "full pipe":
            trace.close_reader()  # it wrote its report to the end
        assert_released(target)
    finally:
        trace.end()
    # One that is killed between its journal and its guard leaves a journal of nothing.
    excused = {"state", f"{target.pid}.journal"} if death == "SIGKILL" else {"state"}
    assert [path for path in folder.rglob("*") if path.name not in excused] == []


def reads_symbols(pid):
    """Whether a gdbleak makes its report, and has a GDB read symbols for it."""
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children():
            with suppress(psutil.NoSuchProcess):
                if any("symbols.py" in word for word in process.cmdline()):
                    return True
    return False


PHASES = {
    "at random": lambda _: True,
    "folder made": lambda trace: any(trace.folder.glob("gdbleak-*")),
    "recording begun": lambda trace: any(trace.folder.glob("gdbleak-*/recording")),
    "report": lambda trace: reads_symbols(trace.pid),
}


@pytest.mark.parametrize("phase", PHASES)
def test_nothing_stays_of_a_gdbleak_that_is_killed(target, tmp_path, phase):
    """At any moment of its life: the recording holds what the target had on its stack."""
    dice = random.Random(phase)
    for attempt in range(-(-TORTURE // 2)):
        late_s = dice.random() * (LIFE_S if phase == "at random" else JITTER_S)
        print(f"{late_s:.3f} s after {phase}", end=": ")  # noqa: T201 - for -rP
        assert_cleared_away(target, tmp_path / str(attempt), PHASES[phase], late_s)


def assert_cleared_away(target, folder, has_come, late_s):
    folder.mkdir()
    trace = Trace(target, folder, 0.2, terminal=False)
    try:
        wait_until(lambda: trace.process.poll() is not None or has_come(trace), "it came", 60)
        time.sleep(late_s)
        trace.process.kill()
        print(*(path.name for path in folder.glob("gdbleak-*/*")))  # noqa: T201 - for -rP
        assert_released(target)
    finally:
        trace.end()
    assert [*folder.glob("gdbleak-*")] == []
