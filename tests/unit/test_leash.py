"""What is started on a leash ends with it, whatever interrupts that."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import Any

import psutil
import pytest
from support.processes import lives, wait_until

from gdbleak.host.leash import Leash

SLEEP = ["sh", "-c", "sleep 600; :"]


def assert_nothing_runs() -> None:
    children = psutil.Process().children
    wait_until(lambda: not any(map(lives, children(recursive=True))), "everything had ended")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_interrupt_is_lost(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """Python drops what it raises in a hook of fork."""

    def interrupt(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        if command is SLEEP:
            signal.pthread_kill(threading.get_ident(), number)  # it may not go to another thread
        return popen(command, **options)

    def handle(*_: object) -> None:
        raise KeyboardInterrupt

    popen = subprocess.Popen
    before = signal.signal(number, handle)
    try:
        monkeypatch.setattr(subprocess, "Popen", interrupt)
        with pytest.raises(KeyboardInterrupt), Leash() as held:
            held.start(SLEEP)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    finally:
        signal.signal(number, before)
    assert_nothing_runs()


def test_what_was_left_running_ends_with_it() -> None:
    with Leash() as held:
        held.start(SLEEP)
        held.end(held.start(SLEEP))
    assert_nothing_runs()


def test_signals_are_as_usual_in_what_is_started() -> None:
    with Leash() as held:
        process = held.start(["grep", "SigBlk", "/proc/self/status"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process.stdout:
            assert int(process.stdout.read().split()[1], 16) == 0


def test_without_a_keeper_things_run_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with Leash() as held:
        assert held.start(["true"]).wait() == 0
    assert_nothing_runs()
