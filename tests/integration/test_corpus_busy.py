"""The busy programs of the corpus, at default options: most leaks are named, and little else is.

It takes half an hour, so only GDBLEAK_TORTURE asks for it; benchmarks/corpus.py shows each verdict.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.builds import UnbuildableError, build
from support.corpus import PROGRAMS
from support.crew import TORTURE
from support.scores import Seen, score

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("needs_ptrace"),
    pytest.mark.skipif(TORTURE == 1, reason="takes half an hour: ask by GDBLEAK_TORTURE"),
    pytest.mark.timeout(2 * 3600),
]

AT_ONCE = 2
WINDOW_S = 30
LEAST = 0.9
"""What must be right; the benchmark measures what is."""
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Return how right the reports on all busy programs were."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        import trials
    way = trials.Way(ROOT, "auto", [])
    folder = tmp_path_factory.mktemp("corpus")
    to_do = []
    for program in PROGRAMS:
        if program.rate is not None:
            try:
                binary = build(program, folder)
            except UnbuildableError:
                continue
            to_do.append(trials.Trial(program, binary, way, WINDOW_S, None))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        windows = list(pool.map(trials.Trial.run, to_do))
    found = [(one.program, one.program.find(w.report)) for one, w in zip(to_do, windows)]
    return score([Seen(program.labels, some, program.lost) for program, some in found])


@pytest.mark.parametrize("what", ["suspected", "right_certain", "right_suspected", "right_lost"])
def test_most_are_right(scores, what):
    right, of_all = getattr(scores, what)
    assert right >= LEAST * of_all, scores
