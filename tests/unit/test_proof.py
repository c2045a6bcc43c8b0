"""What is looked at after a detach, on a process of the test's own."""

from __future__ import annotations

import os
import time

import pytest

from gdbleak.safety import proof
from gdbleak.safety.scratch import read_scratch
from gdbleak.target.proc import Memory
from gdbleak.target.process import Target


@pytest.fixture
def own_proof():
    """Return a proof for this process, in which nothing is written to."""
    pid = os.getpid()
    target = Target(pid, None, "pytest", None, "", 1, "R")
    with Memory(pid) as memory:
        scratch = read_scratch(pid, memory)
        yield proof.LocalProof(target, [(scratch.address, scratch.original)], memory)


def test_ctrl_c_ends_the_wait_but_not_the_proof(own_proof, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    verification = own_proof.conclude(time.monotonic(), own_stop=False, has_exec=False, waits=True)

    assert (verification.ok, verification.death) == (True, None)
    assert verification.ran_on_s < proof.RUN_ON_S


def test_time_before_it_counts(own_proof):
    """The report is made meanwhile."""
    verification = own_proof.conclude(
        time.monotonic() - 7, own_stop=False, has_exec=False, waits=True
    )
    assert (verification.ok, verification.ran_on_s >= 7) == (True, True)
