"""Let gdbleak search the memory of a process for what refers to known blocks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gdbleak.heap.free_memory import find_free_memory
from gdbleak.memory.judgement import State, judge
from gdbleak.memory.look import Ranges
from gdbleak.memory.search import Pace, take_looks
from gdbleak.memory.table import Table
from gdbleak.target.searched import SearchedProcess
from support.keeps import Block
from support.processes import data_of_libc

RATE = float(1 << 30)
LIMIT_S = 60.0


def search(pid: int, blocks: Iterable[Block], is_glibc: bool = True) -> dict[Block, State]:
    """Return what several looks say of each block; registers are not looked at.

    Args:
        pid: The process.
        blocks: Those of its blocks that are known.
        is_glibc: Whether glibc has allocated them: what it has freed belongs to nobody.

    """
    blocks = sorted(blocks, key=lambda block: block.address)
    table = Table([(block.address, block.size) for block in blocks])
    data = data_of_libc(pid) if is_glibc else None
    with SearchedProcess(pid) as process:

        def find_free() -> Ranges:
            return Ranges(find_free_memory(process, data) if data else [])

        def find_gone() -> NDArray[np.bool_]:
            return np.zeros(len(table), bool)

        pace = Pace(RATE, LIMIT_S, lambda _: None)
        looks = take_looks(table, process, [], pace, find_free, find_gone)
    states = judge(looks, np.zeros(len(blocks), bool)).states
    return dict(zip(blocks, map(State, states.tolist())))
