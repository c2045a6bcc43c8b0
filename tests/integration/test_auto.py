"""Without `--probe`, gdbleak chooses how a process is recorded, and says why."""

from __future__ import annotations

import os

import pytest
from support.crew import assert_released

import gdbleak
from gdbleak.errors import InjectionError, UnprovedError
from gdbleak.injection.injection import Injection
from gdbleak.injection.rescue import rescue

pytestmark = pytest.mark.usefixtures("needs_ptrace", "state")


def trace(target, **options):
    """Trace for a second. A busy host must not be the reason why inline cannot be begun.

    Nor must the memory that earlier tests of this process have used end the window.
    """
    return gdbleak.trace(target.pid, 1, max_pause_ms=10_000, max_memory=1 << 40, **options)


TOO_FAST = " calls/s are too many for breakpoints within 30 %"


def assert_refused(report, why):
    """Assert that it was recorded in bursts, and is said to have been, because of a refusal."""
    assert report.window.probe.kind == "bursts"
    assert f"{TOO_FAST}; no inline: {why}" in report.window.probe.reason
    assert f"recorded by {report.window.probe}" in report.notes


def is_inline(report):
    return report.window.inline is not None


@pytest.fixture
def paced(build_target, start_target):
    """Start a program that makes and frees so many blocks a second."""
    return lambda rate: start_target(build_target("paced.c"), str(rate))


def test_breakpoints_where_they_can_record_everything(paced):
    target = paced(10)
    report = trace(target)
    assert (is_inline(report), report.window.sampling) == (False, None)
    assert not any("inline" in note for note in report.notes)
    assert report.window.probe.kind == "breakpoints"
    assert "calls/s stop it for about" in report.window.probe.reason


def test_inline_where_they_cannot(paced):
    target = paced(5000)
    report = trace(target)
    assert is_inline(report)
    assert report.window.probe.kind == "inline"
    assert report.window.probe.reason.endswith(TOO_FAST)
    assert f"recorded {report.window.probe}" in report.notes
    assert report.window.events > 1000
    assert_released(target)


def test_the_command_chooses_too(cli, paced):
    done = cli.run("trace", paced(5000).pid, "--duration", 1, "--max-pause", 10_000)
    assert done.exit_code == 0
    [line] = [line for line in done.stderr.splitlines() if TOO_FAST in line]
    assert line.startswith("gdbleak: inline: ")
    assert TOO_FAST in " ".join(done.stdout.split())


def test_the_doctor_says_what_a_trace_would_choose(cli, paced):
    for rate, kind in (10, "breakpoints"), (5000, "inline"):
        done = cli.run("doctor", paced(rate).pid)
        assert f"a trace would take {kind}: " in done.stdout


def test_bursts_where_inline_is_refused(paced):
    target = paced(5000)
    report = trace(target, mappings=True)
    assert (is_inline(report), report.window.sampling is None) == (False, False)
    assert_refused(report, "")


@pytest.fixture
def failing(monkeypatch):
    """Return a function that lets a step fail with one process, but not in the rehearsal."""

    def make(step, target, takes_back):
        really = getattr(Injection, step)

        def fail(injection, *values):
            if injection.pid != target.pid:
                return really(injection, *values)
            if takes_back:
                injection._take_back()
            raise InjectionError("it did not work")

        monkeypatch.setattr(Injection, step, fail)

    return make


@pytest.mark.parametrize("step", ["map_ring", "arm", "divert"])
def test_bursts_where_the_attempt_fails(paced, failing, tmp_path, step):
    """Whatever had been put in is taken out first, and the recording is begun anew."""
    target, path = paced(5000), tmp_path / "recording"
    failing(step, target, takes_back=True)
    report = trace(target, save=path)
    assert (is_inline(report), report.window.sampling is None) == (False, False)
    assert_refused(report, "it did not work")
    assert_released(target)
    assert gdbleak.load(path).window == report.window


def test_no_second_attempt_on_a_process_in_which_something_is_left(paced, failing, state):
    target = paced(5000)
    failing("divert", target, takes_back=False)
    with pytest.raises(InjectionError, match="it did not work"):
        trace(target)
    [journal] = state.glob("*.journal")
    text = journal.read_text()
    journal.write_text(text.replace(f'"controller": {os.getpid()}', '"controller": 4194305'))
    [outcome] = rescue(target.pid)
    assert outcome.ok, outcome.text


def test_bursts_where_gdb_fails_to_prove_it(paced, monkeypatch):
    def fail(*_, **_options):
        raise UnprovedError("gdb cannot do that")

    monkeypatch.setattr("gdbleak.capture.inline_backend.proved_visitor", fail)
    report = trace(paced(5000))
    assert not is_inline(report)
    assert_refused(report, "gdb cannot do that")
