"""What `gdbleak hunt` does with what the censuses have found; neither they nor a trace is real."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from heap_reports import growing, report

from gdbleak.cli import main
from gdbleak.commands import hunt
from gdbleak.commands.trace import Trace
from gdbleak.report.heap import Taking

GROWS = report(
    sizes=(growing(24, 1000, 2000, 3000, 4000, 5000, 6000),),
    taking=Taking(50.0, None, censuses=6, interval_s=10.0),
)
PID = str(os.getpid())


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that hunts, and returns the exit status, the trace, and what was said."""

    def run(heap, *options):
        traced = []

        def trace(_self, chosen):
            traced.append(chosen)
            return 6

        monkeypatch.setattr(hunt, "look", lambda *_: heap)
        monkeypatch.setattr(Trace, "run", trace)
        status = main(["hunt", PID, *options])
        return status, traced, capsys.readouterr()

    return run


def test_what_grows_is_traced(run):
    status, [traced], said = run(GROWS, "--duration", "5", "--fail-on", "leak")
    assert status == 6
    assert (traced.size.chunks, traced.duration, traced.process) == ((32, 32), 5.0, [int(PID)])
    assert (traced.interval, traced.count, traced.fail_on) == (None, None, ("leak",))
    assert said.out.startswith("Growing: blocks of 24 bytes by ")
    assert said.out.endswith("Now: gdbleak trace 4711 --size 24\n\n")
    assert "6 times in 50 s" in said.err


def test_censuses_that_were_ended_early(run):
    """Whoever presses Ctrl-C does not want a process to be attached to."""
    early = replace(GROWS, taking=replace(GROWS.taking, censuses=4))
    status, traced, said = run(early)
    assert (status, traced) == (0, [])
    assert "ended early, so nothing was traced" in said.out
    assert "Next: gdbleak trace 4711 --size 24" in said.out


def test_nothing_grows(run):
    none = replace(GROWS, sizes=())
    status, traced, said = run(none, "--interval", "20")
    assert (status, traced) == (0, [])
    assert "Next: gdbleak hunt 4711 --interval 120" in said.out


def test_no_allocator_that_can_be_counted(run):
    status, traced, said = run(replace(GROWS, libc=None, sizes=()))
    assert (status, traced) == (0, [])
    assert said.out.startswith("No allocator was found whose blocks can be counted by size.")


def test_what_was_found_does_not_garble_json(run):
    _, _, said = run(GROWS, "--format", "json")
    assert (said.out, "Growing: blocks of 24 bytes" in said.err) == ("", True)
    _, _, said = run(GROWS, "--format", "json", "-o", os.devnull)
    assert "Growing: blocks of 24 bytes" in said.out
