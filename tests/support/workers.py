"""How the tests are dealt out to the processes of `pytest -n`."""

from __future__ import annotations

import functools
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

CHECKOUT = Path(__file__).parents[2]
_MANY_AND_SHORT = ("tests/agent/", "tests/unit/")
_LOOKS_AT_ALL_PROCESSES = "tests/integration/test_suspects.py"


class Dealer(LoadScopeScheduling):
    """Gives a process one test after the other, and whole files where that saves something."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return path if _stays_together(path) else nodeid


@functools.cache
def _stays_together(path: str) -> bool:
    """Return whether the tests of a file are short, see each other, or share a fixture."""
    if path.startswith(_MANY_AND_SHORT) or path == _LOOKS_AT_ALL_PROCESSES:
        return True
    return 'scope="' in (CHECKOUT / path).read_text()
