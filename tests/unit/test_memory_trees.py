"""Lost blocks put together as trees."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.memory import trees
from gdbleak.memory.graph import Graph
from gdbleak.memory.trees import find_trees


def make(count, edges):
    pairs = np.array(edges, np.uint32).reshape(-1, 2)
    return Graph(count, pairs[:, 0].copy(), pairs[:, 1].copy())


def find(count, edges, sizes=None):
    return find_trees(make(count, edges), np.array(sizes or [8] * count, np.uint64))


def find_naively(count, edges):
    """Return what each block leads to, and the rings and blocks that nothing else refers to."""
    reach = []
    for block in range(count):
        reached, waiting = {block}, [block]
        while waiting:
            holder = waiting.pop()
            new = {b for a, b in edges if a == holder} - reached
            reached |= new
            waiting += new
        reach.append(reached)
    rings = {
        frozenset(other for other in reach[block] if block in reach[other])
        for block in range(count)
    }
    return reach, {ring for ring in rings if not any(a not in ring and b in ring for a, b in edges)}


@st.composite
def references(draw):
    count = draw(st.integers(0, 16))
    number = st.integers(0, max(count - 1, 0))
    edges = draw(st.lists(st.tuples(number, number), max_size=2 * count))
    return count, [(holder, target) for holder, target in edges if holder != target]


@pytest.mark.parametrize("tries", [0, 16], ids=["never tries", "tries"])
@given(case=references())
def test_any_graph(tries, case):
    count, edges = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "_TRIES", tries)
        found = find(count, edges)
    reach, rings = find_naively(count, edges)
    of_root = {next(ring for ring in rings if root in ring) for root in found.roots.tolist()}
    assert of_root == rings
    assert len(found.roots) == len(rings)
    for root, is_cycle in zip(found.roots.tolist(), found.are_cycles.tolist()):
        assert is_cycle == (len(reach[root] & next(r for r in rings if root in r)) > 1)
    for block in range(count):
        assert block in reach[found.roots[found.labels[block]]]


@given(case=references())
def test_every_block_has_a_tree_though_rounds_are_few(case):
    count, edges = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "_ROUNDS", 0)
        patch.setattr(trees, "_TRIES", 0)
        found = find(count, edges)
    assert (found.labels < max(len(found.roots), 1)).all()


def test_the_largest_block_stands_for_a_ring():
    # Two rings; a tree that holds nothing keeps them from being tried as one large tree.
    ring = [(0, 1), (1, 2), (2, 0)]
    other = [(a + 3, b + 3) for a, b in ring]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "_TRIES", 0)
        found = find(6, [*ring, *other], [8, 48, 8, 8, 8, 48])
    assert sorted(found.roots.tolist()) == [1, 5]
    assert found.are_cycles.all()


def ring_both_ways(numbers):
    after = np.roll(numbers, -1)
    return np.concatenate([numbers, after]), np.concatenate([after, numbers])


@pytest.mark.parametrize("length", [2, 30, 300_000])
def test_many_blocks_in_rings(length):
    count = 300_000
    blocks = np.random.default_rng(1).permutation(count).astype(np.uint32).reshape(-1, length)
    pairs = [ring_both_ways(ring) for ring in blocks]
    holders = np.concatenate([each[0] for each in pairs])
    targets = np.concatenate([each[1] for each in pairs])
    graph = Graph(count, holders, targets)
    began_s = time.process_time()
    found = find_trees(graph, np.full(count, 8, np.uint64))
    assert time.process_time() - began_s < 10
    assert len(found.roots) == count // length
    assert found.are_cycles.all()
    assert (np.bincount(found.labels) == length).all()
