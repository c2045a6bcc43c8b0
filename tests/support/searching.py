"""Let gdbleak search the memory of a process for what refers to known blocks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gdbleak.memory.judgement import State, judge
from gdbleak.memory.search import Pace, take_looks
from gdbleak.memory.table import Table
from gdbleak.target.searched import SearchedProcess
from support.keeps import Block

RATE = float(1 << 30)
LIMIT_S = 60.0


def search(pid: int, blocks: Iterable[Block], rate: float = RATE) -> dict[Block, State]:
    """Return what several looks say of each block; registers are not looked at."""
    blocks = sorted(blocks, key=lambda block: block.address)
    table = Table([(block.address, block.size) for block in blocks])
    with SearchedProcess(pid) as process:
        looks = take_looks(table, process, [], Pace(rate, lambda _: None), rate, LIMIT_S)
    states = judge(looks, np.zeros(len(blocks), bool)).states
    return dict(zip(blocks, map(State, states.tolist())))
