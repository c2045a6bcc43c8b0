"""The examples in docstrings are as they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDS_A_PROCESS = {"gdbleak.__init__"}
"""Their examples trace one."""


def names():
    """Return the modules that have examples."""
    paths = [path for path in (ROOT / "gdbleak").rglob("*.py") if ">>> " in path.read_text()]
    found = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths}
    return sorted(found - NEEDS_A_PROCESS)


@pytest.mark.parametrize("name", names())
def test_examples(name):
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert (failed, attempted > 0) == (0, True)
