"""How many addresses lie at or before others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.memory import ranks
from gdbleak.memory.ranks import Ranks


@st.composite
def addresses(draw):
    found = set()
    for _ in range(draw(st.integers(1, 4))):
        base = draw(st.integers(0, (1 << 47) - 1))
        spread = draw(st.sampled_from([100, 4096, 1 << 21, 1 << 30]))
        found |= {base + each for each in draw(st.lists(st.integers(0, spread), max_size=40))}
    return sorted(found)


@given(
    addresses=addresses(), others=st.lists(st.integers(0, (1 << 48) - 1)), most=st.integers(0, 9)
)
def test_it_is_what_bisection_returns(addresses, others, most):
    here = np.array(addresses, np.uint64)
    near = [each + off for each in addresses for off in (-1, 0, 1, 40, 1 << 20) if each + off >= 0]
    asked = np.array([*others, *near], np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "FEWEST", 1)
        patch.setattr(ranks, "_MOST_STEPS", most)
        found = Ranks(here).count(asked)
    assert found.tolist() == np.searchsorted(here, asked, "right").tolist()


def test_numbers_are_kept_for_blocks_side_by_side():
    here = 0x7F0000000000 + 48 * np.arange(ranks.FEWEST, dtype=np.uint64)
    asked = np.random.default_rng(1).permutation(np.concatenate([here, here + np.uint64(47)]))
    table = Ranks(here)
    assert 0 < table._steps <= 2
    assert (table.count(asked) == np.searchsorted(here, asked, "right")).all()


def test_far_apart_it_is_bisection():
    here = np.arange(ranks.FEWEST, dtype=np.uint64) << np.uint64(21)
    table = Ranks(here)
    assert table._steps == 0
    assert table.count(here).tolist() == [*range(1, len(here) + 1)]
