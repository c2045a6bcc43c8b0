"""Every leak of the corpus is named first and called one, and nothing else is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from support.cli import Cli
from support.corpus import PROGRAMS
from support.processes import running

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]

AT_ONCE = 9
"""So many are traced at the same time: they have little to do."""

BUSY = "leak_rare"
"""It loses one block in 10,000; how many of these are recorded depends on the host: maybe none."""
WINDOW = ("--duration", 20)
BUSY_WINDOW = ("--max-events", 30_000, "--duration", 600)
"""Recording slows the busy one down, the slower the host the more: it is to come as far on each."""

NAMES = [program.path.stem for program in PROGRAMS]
CALM = [name for name in NAMES if name != BUSY]


@pytest.fixture(scope="module")
def findings(build_target, tmp_path_factory):
    """Return what is found in each program."""
    built = {p: build_target(f"corpus/{p.path.name}") for p in PROGRAMS}

    def trace(program, window=WINDOW):
        options = (*window, "--budget", 100, "--format", "json")
        tmpdir = tmp_path_factory.mktemp("tmpdir")
        with running(built[program]) as target, closing(Cli(tmpdir)) as cli:
            trace = cli.start("trace", target.pid, *options)
            trace.wait_for_window()
            target.tell("")
            return program.find(trace.finish(600).report)

    calm = [program for program in PROGRAMS if program.path.stem != BUSY]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(calm, pool.map(trace, calm)))
    found.update(
        (program, trace(program, BUSY_WINDOW)) for program in PROGRAMS if program not in found
    )
    return {program.path.stem: findings for program, findings in found.items()}


@pytest.mark.parametrize("name", CALM)
def test_what_leaks_is_named_first(findings, name):
    labels = [finding.label for finding in findings[name]]
    assert labels == sorted(labels, key=("leak", "growing", "keeps").index), findings[name]


@pytest.mark.parametrize("name", CALM)
def test_what_leaks_is_called_a_leak(findings, name):
    leaking = [finding for finding in findings[name] if finding.label != "keeps"]
    assert [finding for finding in leaking if not finding.fits] == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_else_is(findings, name):
    keeping = [finding for finding in findings[name] if finding.label == "keeps"]
    assert [finding for finding in keeping if not finding.fits] == []


def test_every_label_is_of_a_function_that_allocates(findings):
    for program in PROGRAMS:
        seen = {finding.function for finding in findings[program.path.stem]}
        assert program.labels.keys() <= seen, program.path
