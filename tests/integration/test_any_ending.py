"""However a trace ends, and whenever: its target is not stopped, nor will it be, and runs on."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress

import psutil
import pytest
from support.crew import TORTURE, assert_released, find_gdb, find_guard, running_beside, tracer_of
from support.processes import states_of, wait_until

from gdbleak.safety.repair import has_pending_stop

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace", "state")]

ATTEMPTS = -(-TORTURE // 3)
"""Of twelve kinds: `make torture` comes to 108."""
LIFE_S = 3.5
"""Longer than a trace of half a second is under way, from its start to its report."""


def crew_of(pid):
    """Return gdbleak and every process that it has started, by any way."""
    with suppress(psutil.NoSuchProcess):
        gdbleak = psutil.Process(pid)
        return [gdbleak, *gdbleak.children(recursive=True)]
    return []


def send(processes, number):
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def end_gdbleak(trace, number, _):
    trace.send(number)


def kill_gdb(trace, *_):
    send(filter(None, [find_gdb(trace.pid)]), signal.SIGKILL)


def kill_all(trace, _, dice):
    """Kill GDB, the guard and gdbleak, one soon after the other."""
    processes = [psutil.Process(trace.pid), find_gdb(trace.pid), find_guard(trace.pid)]
    processes = [process for process in processes if process]
    dice.shuffle(processes)
    for process in processes:
        send([process], signal.SIGKILL)
        time.sleep(dice.choice((0, 0, dice.random() * 0.03)))


ENDINGS = {
    "SIGTERM of gdbleak": (end_gdbleak, signal.SIGTERM),
    "SIGKILL of gdbleak": (end_gdbleak, signal.SIGKILL),
    "SIGKILL of GDB": (kill_gdb, None),
    "SIGKILL of all": (kill_all, None),
}


def start_and_wait(cli, target, dice, duration=0.5):
    """Start a trace, and return it at a random moment of its life."""
    trace = cli.start("trace", target.pid, "--probe", "breakpoint", "--duration", duration)
    moment, late_s = dice.choice(("at random", "at the attach", "in the window")), dice.random()
    late_s *= LIFE_S if moment == "at random" else 0.1
    if moment != "at random":
        wait_until(lambda: trace.has_ended or tracer_of(target.pid), "it was attached to", 60)
    if moment == "in the window" and not trace.has_ended:
        late_s += 0.1
    time.sleep(late_s)
    print(f"{late_s:.3f} s after the {moment}", end=", ")  # noqa: T201 - for -rP
    return trace


def wait_until_alone(target, stuck):
    """Wait until nothing is left of a trace but the target and whom it waits for."""

    def left():
        own = {stuck.server_pid, *(p.pid for p in psutil.Process(target.pid).children())}
        return [process for process in running_beside(target) if process.pid not in own]

    wait_until(lambda: left() == [], "gdbleak, gdb and the guard had ended", 60)


def assert_runs(target):
    """Assert that no thread is halted, traced, or about to stop, and that it can go on."""
    assert target.process.poll() is None, "the target has died"
    assert not has_pending_stop(target.pid), "a SIGSTOP is pending"
    target.assert_as_found()
    assert target.ask("leak 3") == "leaked"


@pytest.mark.parametrize("way", ["nothing", "child", "FUSE"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_no_stop_is_left_behind(cli, vforks, stuck, state, ending, way):
    dice = random.Random(ending + way)
    end, number = ENDINGS[ending]
    for _ in range(ATTEMPTS):
        print(f"{ending}, {way}", end=": ")  # noqa: T201 - for -rP
        early = dice.random() < 0.5
        if early and way != "nothing":
            stuck.begin(way)
        trace = start_and_wait(cli, vforks, dice, 600)
        if not early and way != "nothing":
            stuck.begin(way)
        end(trace, number, dice)
        trace.send(signal.SIGINT)
        wait_until_alone(vforks, stuck)
        found = states_of(vforks.pid)
        print(f"{early=}, {found}")  # noqa: T201 - for -rP
        if [*state.glob("*.journal")]:
            assert cli.run("rescue", vforks.pid).exit_code == 0
        assert [*state.glob("*.journal")] == []
        assert_runs(vforks)
        stuck.release()
        assert_runs(vforks)


@pytest.fixture(params=[100, 0], ids=["100 a second", "without pause"])
def paced(request, build_target, start_target):
    """Return a program that allocates and frees at a given rate."""
    return start_target(build_target("paced.c"), str(request.param))


def pick_some(crew, dice):
    return dice.sample(crew, dice.randint(1, len(crew))) if crew else []


WHOM = {
    "any of them": pick_some,
    "all of them": lambda crew, _: crew,  # as a service manager ends a control group
}


@pytest.mark.parametrize("whom", [*WHOM, "its group"])
def test_sigterm_of_any_or_all(cli, paced, state, whom):
    dice = random.Random(whom)
    for _ in range(-(-2 * TORTURE // 3)):
        trace = start_and_wait(cli, paced, dice)
        chosen = WHOM[whom](crew_of(trace.pid), dice) if whom in WHOM else []
        if whom == "its group" and not trace.has_ended:
            os.killpg(trace.pid, signal.SIGTERM)
        send(chosen, signal.SIGTERM)
        result = trace.finish()
        print(f"{whom}: {len(chosen)}, exit {result.exit_code}")  # noqa: T201 - for -rP
        assert "Traceback" not in result.stderr
        assert_released(paced)
        assert not has_pending_stop(paced.pid)
        assert [*state.glob("*.journal")] == []
    assert paced.ask("end").endswith(" rounds")
    assert paced.wait() == 0
