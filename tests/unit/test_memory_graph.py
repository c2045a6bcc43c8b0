"""Many references, and what is reached by them."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.memory import graph as graphs
from gdbleak.memory.graph import Graph


def make(count, edges):
    pairs = np.array(edges, np.uint32).reshape(-1, 2)
    return Graph(count, pairs[:, 0].copy(), pairs[:, 1].copy())


def reach_naively(edges, seeds):
    reached, waiting = set(seeds), list(seeds)
    while waiting:
        block = waiting.pop()
        for holder, target in edges:
            if holder == block and target not in reached:
                reached.add(target)
                waiting.append(target)
    return reached


@st.composite
def references(draw):
    count = draw(st.integers(1, 30))
    number = st.integers(0, count - 1)
    edges = draw(st.lists(st.tuples(number, number), max_size=60))
    return count, edges, draw(st.lists(number, unique=True))


@pytest.mark.parametrize("few", [0, 2, 48])
@given(case=references())
def test_what_is_reached(few, case):
    count, edges, seeds = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "_FEW", few)
        patch.setattr(graphs, "_AT_ONCE", 3)
        reached = np.zeros(count, bool)
        make(count, edges).flood(reached, np.array(seeds, np.uint32))
    assert {*np.flatnonzero(reached).tolist()} == reach_naively(edges, seeds)


@pytest.mark.parametrize("few", [0, 48])
@given(case=references())
def test_labels_lead_to_a_seed_that_reaches(few, case):
    count, edges, seeds = case
    labels = np.arange(count, dtype=np.uint32)
    reached = np.zeros(count, bool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "_FEW", few)
        make(count, edges).flood(reached, np.array(seeds, np.uint32), labels)
    for block in np.flatnonzero(reached).tolist():
        assert labels[block] in seeds
        assert block in reach_naively(edges, [int(labels[block])])


def test_what_is_reached_already_is_not_gone_through():
    reached = np.array([False, True, False])
    make(3, [(0, 1), (1, 2)]).flood(reached, np.array([0], np.uint32))
    assert reached.tolist() == [True, True, False]


@given(case=references(), data=st.data())
def test_references_among_some(case, data):
    count, edges, _ = case
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    inner = make(count, edges).within(chosen)
    numbers = np.flatnonzero(chosen).tolist()
    kept = [*zip(inner.holders.tolist(), inner.targets.tolist())]
    found = sorted((numbers[holder], numbers[target]) for holder, target in kept)
    assert found == sorted(
        (holder, target) for holder, target in edges if chosen[holder] and chosen[target]
    )
    assert len(inner) == len(numbers)


def test_a_long_list_takes_no_step_of_numpy_for_each_block():
    count = 300_000
    numbers = np.arange(count - 1, dtype=np.uint32)
    graph = Graph(count, numbers, numbers + np.uint32(1))
    reached = np.zeros(count, bool)
    began_s = time.process_time()
    graph.flood(reached, np.zeros(1, np.uint32))
    assert reached.all()
    assert time.process_time() - began_s < 3
