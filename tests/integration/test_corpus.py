"""Every leak of the corpus is named first and called one, and nothing else is.

Of the programs that allocate so often that few can run at once, and of those that take longer,
benchmarks/corpus.py says how many are right.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from support.builds import UnbuildableError, build
from support.cli import Cli
from support.corpus import PROGRAMS
from support.processes import running

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]

AT_ONCE = 13
"""So many are traced at the same time: they have little to do."""

BUSY = "leak_rare"
"""It loses one block in 10,000; how many of these are recorded depends on the host: maybe none."""
WINDOW_S = 20
WINDOW = ("--duration", WINDOW_S)
BUSY_WINDOW = ("--max-events", 30_000, "--duration", 600)
"""Recording slows the busy one down, the slower the host the more: it is to come as far on each."""

CHOSEN = [p for p in PROGRAMS if p.name == BUSY or (p.rate is None and p.window_s <= WINDOW_S)]
NAMES = [program.name for program in CHOSEN]
CALM = [name for name in NAMES if name != BUSY]


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    """Return what is found in each program that can be compiled here."""
    folder = tmp_path_factory.mktemp("corpus")
    built = {}
    for program in CHOSEN:
        try:
            built[program] = build(program, folder)
        except UnbuildableError:
            continue  # the tests of it are skipped

    def trace(program, window=WINDOW):
        options = (*window, "--budget", 100, "--format", "json")
        tmpdir = tmp_path_factory.mktemp("tmpdir")
        with running(built[program]) as target, closing(Cli(tmpdir)) as cli:
            trace = cli.start("trace", target.pid, *options)
            trace.wait_for_window()
            target.tell("")
            return program.find(trace.finish(600).report)

    calm = [program for program in built if program.name != BUSY]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(calm, pool.map(trace, calm)))
    found.update(
        (program, trace(program, BUSY_WINDOW)) for program in built if program not in found
    )
    return {program.name: findings for program, findings in found.items()}


@pytest.fixture
def found(findings, name):
    """Return what is found in one program."""
    if name not in findings:
        pytest.skip("what compiles it is not installed: run .ci/setup test")
    return findings[name]


@pytest.mark.parametrize("name", CALM)
def test_what_leaks_is_named_first(found):
    labels = [finding.label for finding in found]
    assert labels == sorted(labels, key=("leak", "growing", "keeps").index), found


def is_slowed(finding):
    """Whether a leak is no more than suspected because a busy host has slowed its process."""
    return finding.word == "leak?" and "of its speed" in finding.evidence


@pytest.mark.parametrize("name", CALM)
def test_what_leaks_is_called_a_leak(found):
    leaking = [finding for finding in found if finding.label != "keeps"]
    assert [each for each in leaking if not (each.fits or is_slowed(each))] == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_else_is(found):
    keeping = [finding for finding in found if finding.label == "keeps"]
    assert [finding for finding in keeping if not finding.fits] == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_called_lost_that_is_not(found, name):
    program = next(program for program in CHOSEN if program.name == name)
    assert {finding.function for finding in found if finding.lost} <= program.lost


def test_every_label_is_of_a_function_that_allocates(findings):
    for program in CHOSEN:
        if program.name in findings:
            seen = {finding.function for finding in findings[program.name]}
            assert program.labels.keys() <= seen, program.path
