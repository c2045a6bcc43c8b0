"""The rules of the ledger, each a row; and any history of an allocator, told by its truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.fuzz import scaled

from gdbleak.ledger.heap import Ledger
from gdbleak.recording.functions import INTERNAL_FUNCTIONS, MALLOC_FAMILY, AllocatorFunction

A, B, C = 0xA0, 0xB0, 0xC0
ENOMEM = 12
TOP = 0x7000
"""Stack pointer of a call, unless the row says another."""


BY_NAME = {function.name: function for function in MALLOC_FAMILY}


def enter(name, pointer=0, size=0, thread=1, sp=TOP, allocator=0):
    """Return the event of a call."""
    return lambda ledger, now: ledger.enter(
        allocator, BY_NAME[name], now, thread, sp, pointer, size
    )


def escape(thread=1, sp=TOP):
    """Return the event of a jump to somewhere unknown."""
    return lambda ledger, _: ledger.escape(thread, sp)


def leave(result, stored=0, thread=1, sp=TOP):
    """Return the event of a return."""
    return lambda ledger, now: ledger.leave(now, thread, sp, result, stored, stack=now)


def unannounced(result, size, thread=1, sp=TOP):
    """Return the event of a return of malloc whose entry has no probe."""
    malloc = BY_NAME["malloc"]
    return lambda ledger, now: ledger.return_unannounced(
        malloc, now, thread, sp, result, size, stack=now
    )


def close():
    """Return the event of the window's end."""
    return lambda ledger, _: ledger.close()


def malloc(result, size, thread=1, sp=TOP):
    return [enter("malloc", size=size, thread=thread, sp=sp), leave(result, thread=thread, sp=sp)]


def realloc(pointer, size, result, name="realloc"):
    return [enter(name, pointer, size), leave(result)]


def free(pointer, thread=1, sp=TOP, allocator=0):
    return [enter("free", pointer, thread=thread, sp=sp, allocator=allocator)]


def internal(name, thread=1, sp=TOP):
    """Return the event of a call that the allocator makes for itself."""
    [function] = (function for function in INTERNAL_FUNCTIONS if function.name == name)
    return lambda ledger, now: ledger.enter(0, function, now, thread, sp, 0, 0)


def leave_internal(thread=1, sp=TOP):
    """Return the event of its return."""
    return lambda ledger, _: ledger.leave_internal(thread, sp)


def end_of_thread(*events):
    return [internal("tcache_thread_shutdown"), *events, leave_internal()]


def start_of_cache(*events, sp=TOP - 80):
    return [internal("tcache_init", sp=sp), *events, leave_internal(sp=sp)]


@dataclass
class Case:
    """What was seen, and what the books must say; what a row leaves out is 0."""

    name: str
    events: list[Any]
    alive: list[tuple[int, int]] = field(default_factory=list)
    """Address and size of every outstanding block."""
    freed: int = 0
    """Blocks of the window that are freed."""
    frees: int = 0
    frees_of_older_blocks: int = 0
    missed_frees: int = 0
    unfinished_calls: int = 0
    found_free: int = 0


CASES = [
    Case("nothing at all", []),
    Case("malloc", malloc(A, 10), alive=[(A, 10)]),
    Case("malloc, free", [*malloc(A, 10), *free(A)], freed=1, frees=1),
    Case("cfree frees", [*malloc(A, 10), enter("cfree", A)], freed=1, frees=1),
    Case("malloc of no bytes is a block", malloc(A, 0), alive=[(A, 0)]),
    Case("malloc returns NULL", malloc(0, 10)),
    Case("free of NULL", [*malloc(A, 10), *free(0)], alive=[(A, 10)]),
    Case("free of an older block", free(A), frees=1, frees_of_older_blocks=1),
    Case(
        "free of a block twice in a row: it has jumped back to its beginning",
        [*malloc(A, 10), *free(A), *free(A)],
        freed=1,
        frees=1,
    ),
    Case(
        "free of an older block that jumps back to its beginning",
        [*free(A), *free(A)],
        frees=1,
        frees_of_older_blocks=1,
    ),
    Case(
        "free of an address that came again in another thread",
        [*free(A), *malloc(A, 10, thread=2), *free(A)],
        freed=1,
        frees=2,
        frees_of_older_blocks=1,
    ),
    Case(
        "free of a block twice: the second is not ours",
        [*malloc(A, 10), *free(A), *free(B), *free(A)],
        freed=1,
        frees=3,
        frees_of_older_blocks=2,
    ),
    Case(
        "an address that was freed is handed out again",
        [*malloc(A, 10), *free(A), *malloc(A, 20)],
        alive=[(A, 20)],
        freed=1,
        frees=1,
    ),
    Case(
        "an address that was not freed is handed out again",
        [*malloc(A, 10), *malloc(A, 20)],
        alive=[(A, 20)],
        freed=1,
        missed_frees=1,
    ),
    # realloc
    Case("realloc moves", [*malloc(A, 10), *realloc(A, 90, B)], alive=[(B, 90)]),
    Case("realloc grows in place", [*malloc(A, 10), *realloc(A, 20, A)], alive=[(A, 20)]),
    Case("realloc shrinks", [*malloc(A, 10), *realloc(A, 5, A)], alive=[(A, 5)]),
    Case("realloc of NULL is malloc", realloc(0, 10, A), alive=[(A, 10)]),
    Case("realloc of NULL fails", realloc(0, 10, 0)),
    Case("realloc to nothing frees", [*malloc(A, 10), *realloc(A, 0, 0)], freed=1, frees=1),
    Case("realloc to an empty block", [*malloc(A, 10), *realloc(A, 0, B)], alive=[(B, 0)]),
    Case("realloc fails: the old block stays", [*malloc(A, 10), *realloc(A, 90, 0)], [(A, 10)]),
    Case(
        "after a failed realloc the old block can be freed",
        [*malloc(A, 10), *realloc(A, 90, 0), *free(A)],
        freed=1,
        frees=1,
    ),
    Case(
        "a block that realloc moved is freed at its new address",
        [*malloc(A, 10), *realloc(A, 90, B), *free(B)],
        freed=1,
        frees=1,
    ),
    Case(
        "the address realloc has left is handed out again",
        [*malloc(A, 10), *realloc(A, 90, B), *malloc(A, 7)],
        alive=[(B, 90), (A, 7)],
    ),
    Case(
        "realloc of an older block begins a new one",
        realloc(A, 90, B),
        alive=[(B, 90)],
        frees=1,
        frees_of_older_blocks=1,
    ),
    Case("realloc of an older block fails", realloc(A, 90, 0)),
    Case("realloc of an older block frees", realloc(A, 0, 0), frees=1, frees_of_older_blocks=1),
    Case(
        "realloc moves to an address that was not freed",
        [*malloc(A, 10), *malloc(B, 20), *realloc(A, 90, B)],
        alive=[(B, 90)],
        freed=1,
        missed_frees=1,
    ),
    Case("reallocarray", [*malloc(A, 10), *realloc(A, 90, B, "reallocarray")], alive=[(B, 90)]),
    Case(
        "reallocarray jumps to realloc",
        [*malloc(A, 10), enter("reallocarray", A, 90), *realloc(A, 90, B)],
        alive=[(B, 90)],
    ),
    Case(
        "reallocarray jumps to realloc, which fails",
        [*malloc(A, 10), enter("reallocarray", A, 90), *realloc(A, 90, 0)],
        alive=[(A, 10)],
    ),
    # posix_memalign
    Case(
        "posix_memalign stores the address",
        [enter("posix_memalign", size=10), leave(0, stored=A)],
        alive=[(A, 10)],
    ),
    Case(
        "posix_memalign fails: what it would have overwritten is no block",
        [enter("posix_memalign", size=10), leave(ENOMEM, stored=A)],
    ),
    Case("only posix_memalign stores", [enter("malloc", size=10), leave(A, stored=B)], [(A, 10)]),
    # nested calls
    Case(
        "nested calls are the outermost's",
        [
            *malloc(A, 10),
            enter("realloc", A, 90),
            *malloc(B, 104, sp=TOP - 80),
            *free(A, sp=TOP - 80),
            leave(B),
        ],
        alive=[(B, 90)],
    ),
    Case(
        "a return within a call is not the call's",
        [enter("malloc", size=10), leave(C, sp=TOP - 80), leave(A)],
        alive=[(A, 10)],
    ),
    # threads
    Case(
        "two threads in one function at the same depth",
        [
            enter("malloc", size=10, thread=1),
            enter("malloc", size=20, thread=2),
            leave(A, thread=1),
            leave(B, thread=2),
        ],
        alive=[(A, 10), (B, 20)],
    ),
    Case("a thread frees another's", [*malloc(A, 10), *free(A, thread=2)], freed=1, frees=1),
    Case(
        "another thread gets the old address before realloc returns",
        [*malloc(A, 10), enter("realloc", A, 90), *malloc(A, 20, thread=2), leave(B)],
        alive=[(B, 90), (A, 20)],
    ),
    Case(
        "another thread frees the old address it got before realloc returns",
        [
            *malloc(A, 10),
            enter("realloc", A, 90),
            *malloc(A, 20, thread=2),
            *free(A, thread=2),
            leave(B),
        ],
        alive=[(B, 90)],
        freed=1,
        frees=1,
    ),
    # what an allocator calls for itself
    Case(
        "the end of a thread frees again what lies in its cache, and the cache",
        [*malloc(A, 10), *free(A), *end_of_thread(*free(A, sp=TOP - 80), *free(C, sp=TOP - 80))],
        freed=1,
        frees=1,
    ),
    Case(
        "the end of a thread frees what was cached before the window",
        end_of_thread(*free(A, sp=TOP - 80), *free(B, sp=TOP - 80), *free(C, sp=TOP - 80)),
    ),
    Case("the end of a thread with an empty cache", end_of_thread(*free(C, sp=TOP - 80))),
    Case("the end of a thread without a cache", end_of_thread()),
    Case(
        "the end of a thread frees what was freed unseen: it is found free",
        [*malloc(A, 10), *malloc(B, 20), *end_of_thread(*free(A, sp=TOP - 80))],
        alive=[(B, 20)],
        freed=1,
        found_free=1,
    ),
    Case(
        "another thread works while one ends",
        [
            *malloc(A, 10),
            *end_of_thread(*malloc(B, 20, thread=2), *free(A, thread=2)),
            *free(B, thread=2),
        ],
        freed=2,
        frees=2,
    ),
    Case(
        "a thread ends, and another begins with its number and stack",
        [*end_of_thread(*free(A, sp=TOP - 80)), *malloc(A, 10, sp=TOP - 80)],
        alive=[(A, 10)],
    ),
    Case(
        "an end of a thread that was not seen to return, then calls of its callers",
        [
            internal("tcache_thread_shutdown"),
            *free(A, sp=TOP - 80),
            *malloc(B, 10, sp=TOP + 80),
            *free(B),
        ],
        freed=1,
        frees=1,
    ),
    Case(
        "the window ends in the end of a thread",
        [*malloc(A, 10), *end_of_thread(*free(B, sp=TOP - 80))[:-1], close()],
        alive=[(A, 10)],
    ),
    Case(
        "a realloc under way has taken its block when the cache of the thread begins",
        [
            *malloc(A, 10),
            enter("realloc", A, 90),
            *start_of_cache(leave(C, sp=TOP - 160)),
            leave(B),
        ],
        alive=[(B, 90)],
    ),
    Case(
        "a malloc begins with the cache of the thread",
        [enter("malloc", size=10), *start_of_cache(leave(C, sp=TOP - 160)), leave(A)],
        alive=[(A, 10)],
    ),
    Case(
        "a malloc whose call is not seen begins with the cache of the thread",
        [*start_of_cache(unannounced(C, 760, sp=TOP - 160)), unannounced(A, 24)],
        alive=[(A, 24)],
    ),
    Case(
        "a malloc jumps to where the cache begins",
        [
            enter("malloc", size=10),
            *start_of_cache(leave(C, sp=TOP - 160), sp=TOP),
            leave(A),
        ],
        alive=[(A, 10)],
    ),
    Case(
        "a malloc whose call is not seen jumps to where the cache begins, and on",
        [internal("tcache_init"), unannounced(C, 760, sp=TOP - 80), unannounced(A, 24)],
        alive=[(A, 24)],
    ),
    Case(
        "a free begins with the cache of the thread, and jumps back to its beginning",
        [
            *malloc(A, 10, thread=2),
            *free(A),
            *start_of_cache(unannounced(C, 760, sp=TOP - 160)),
            *free(A),
        ],
        freed=1,
        frees=1,
    ),
    # the edges of the window, and what was not seen
    Case("a return whose call came before the window", [leave(A)]),
    Case(
        "a return whose call came before the window, then a call",
        [leave(A), *malloc(B, 10)],
        alive=[(B, 10)],
    ),
    Case(
        "a call whose return was not seen, then the same call",
        [enter("malloc", size=10), *malloc(A, 20)],
        alive=[(A, 20)],
        unfinished_calls=1,
    ),
    Case(
        "a call whose return was not seen, then one of a caller's",
        [enter("malloc", size=10, sp=TOP - 80), *malloc(A, 20)],
        alive=[(A, 20)],
        unfinished_calls=1,
    ),
    Case(
        "a call whose return was not seen, then a free",
        [*malloc(A, 10), enter("malloc", size=10, sp=TOP - 80), *free(A)],
        freed=1,
        frees=1,
        unfinished_calls=1,
    ),
    Case(
        "a call whose return was not seen, then a return of a caller's",
        [*malloc(A, 10), enter("realloc", A, 20, sp=TOP - 80), leave(B)],
        alive=[(A, 10)],
        unfinished_calls=1,
    ),
    Case(
        "a realloc whose return was not seen and whose old address has been reused",
        [
            *malloc(A, 10),
            enter("realloc", A, 90, sp=TOP - 80),
            *malloc(A, 20, thread=2),
            *malloc(C, 30),
            *free(A),
        ],
        alive=[(A, 10), (C, 30)],
        freed=1,
        frees=1,
        unfinished_calls=1,
    ),
    Case(
        "a free calls the free of another allocator",
        [*malloc(A, 10), *free(A), *free(A - 16, sp=TOP - 80, allocator=1)],
        freed=1,
        frees=1,
    ),
    Case(
        "a free jumps to that of another allocator",
        [*malloc(A, 10), *free(A), *free(A, allocator=1)],
        freed=1,
        frees=1,
    ),
    Case(
        "an operator delete calls free",
        [*malloc(A, 10), *free(A), enter("cfree", A, sp=TOP - 16)],
        freed=1,
        frees=1,
    ),
    Case(
        "two older blocks of one allocator are freed",
        [*free(A), enter("cfree", B)],
        frees=2,
        frees_of_older_blocks=2,
    ),
    Case(
        "two allocators free a block each",
        [*malloc(A, 10), *malloc(B, 10), *free(A), *free(B, sp=TOP - 80, allocator=1)],
        freed=2,
        frees=2,
    ),
    Case(
        "frees one after the other of older blocks",
        [*free(A), *free(B), *free(C, sp=TOP + 80, allocator=1)],
        frees=3,
        frees_of_older_blocks=3,
    ),
    Case(
        "a malloc between two frees",
        [*free(A), *malloc(C, 10), *free(B, allocator=1)],
        [(C, 10)],
        frees=2,
        frees_of_older_blocks=2,
    ),
    Case(
        "a call escapes",
        [enter("malloc", size=10), escape(), *malloc(B, 20, sp=TOP + 80)],
        [(B, 20)],
        unfinished_calls=1,
    ),
    Case(
        "a call escapes to the malloc of another allocator",
        [enter("malloc", size=10), escape(), enter("malloc", size=10, allocator=1), leave(A)],
        [(A, 10)],
    ),
    Case(
        "a call escapes to a hook that calls malloc",
        [enter("malloc", size=10), escape(), *malloc(A, 10, sp=TOP - 80)],
        [(A, 10)],
    ),
    Case(
        "a realloc escapes",
        [*malloc(A, 10), enter("realloc", A, 90), escape(), close()],
        [(A, 10)],
        unfinished_calls=1,
    ),
    Case(
        "what a call that was told calls escapes",
        [enter("malloc", size=10), escape(sp=TOP - 80), leave(A)],
        [(A, 10)],
    ),
    Case("a return without a call", [unannounced(A, 24)], [(A, 24)]),
    Case("a return without a call, of NULL", [unannounced(0, 0)]),
    Case(
        "a return without a call inside another",
        [*malloc(A, 10), enter("realloc", A, 90), unannounced(B, 24, sp=TOP - 80), leave(B)],
        [(B, 90)],
    ),
    Case(
        "a realloc jumps to malloc, which returns without a call",
        [enter("realloc", 0, 90), unannounced(A, 104)],
        [(A, 90)],
    ),
    Case(
        "a return without a call behind one that never returned",
        [enter("realloc", 0, 90, sp=TOP - 80), unannounced(A, 24)],
        [(A, 24)],
        unfinished_calls=1,
    ),
    Case("the window ends in a malloc", [enter("malloc", size=10), close()]),
    Case(
        "the window ends in a realloc",
        [*malloc(A, 10), enter("realloc", A, 90), close()],
        alive=[(A, 10)],
    ),
    Case(
        "the window ends in a realloc whose old address has been reused",
        [*malloc(A, 10), enter("realloc", A, 90), *malloc(A, 20, thread=2), close()],
        alive=[(A, 10), (A, 20)],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rule(case):
    blocks = []
    ledger = Ledger(blocks.append)
    for now, event in enumerate(case.events):
        event(ledger, now)

    seen = Case(
        case.name,
        case.events,
        alive=sorted((block.address, block.size) for block in ledger.survivors),
        freed=len(blocks),
        frees=ledger.frees,
        frees_of_older_blocks=ledger.frees_of_older_blocks,
        missed_frees=ledger.missed_frees,
        unfinished_calls=ledger.unfinished_calls,
        found_free=ledger.found_free,
    )
    assert seen == replace(case, alive=sorted(case.alive))


def test_block_keeps_its_birth_and_adds_up_its_growth():
    blocks = []
    ledger = Ledger(blocks.append)
    events = [
        *malloc(A, 10),
        *(realloc(A, 90, B) + realloc(B, 20, B) + realloc(B, 25, C)),
        *free(C),
    ]
    for now, event in enumerate(events, start=100):
        event(ledger, now)

    (block,) = blocks
    assert (block.thread, block.stack, block.born_ns, block.freed_ns) == (1, 101, 101, 108)
    assert (block.address, block.size) == (C, 25)
    assert (block.allocated_bytes, block.reallocations) == (10 + 80 + 5, 3)


def test_outstanding_counts_the_living():
    ledger = Ledger(lambda _: None)
    seen = []
    events = [*malloc(A, 10), *malloc(B, 10), *free(A), enter("realloc", B, 20), close()]
    for now, event in enumerate(events):
        event(ledger, now)
        seen.append(len(ledger.outstanding))
    assert seen == [0, 1, 1, 2, 1, 0, 1]


@dataclass
class TrueBlock:
    address: int
    size: int
    older: bool = False


@dataclass
class TrueCall:
    function: AllocatorFunction
    sp: int
    size: int
    block: TrueBlock | None
    """What realloc was given."""
    result: int | None = None
    """What will be returned, once the allocator has done its work."""


class Program(RuleBasedStateMachine):
    """Threads that use an allocator of few addresses; every hit goes to a ledger.

    A call has three moments: its entry, the work of the allocator, and its return. Those of
    other threads come in between. `self.blocks` holds what is true.
    """

    threads = st.integers(1, 3)
    functions = st.sampled_from([f for f in BY_NAME.values() if f.allocates])
    sizes = st.integers(0, 9)
    picks = st.integers(0, 1000)

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(lambda _: None)
        self.now = 0
        self.room = [0x10 * n for n in range(3, 9)]
        self.blocks = [TrueBlock(0x10, 1, older=True), TrueBlock(0x20, 1, older=True)]
        self.calls: dict[int, TrueCall] = {}
        self.frees = self.frees_of_older_blocks = 0

    def enter(self, name, thread, sp, pointer, size):
        self.now += 1
        self.ledger.enter(0, BY_NAME[name], self.now, thread, sp, pointer, size)

    def leave(self, thread, sp, result, stored=0):
        self.now += 1
        self.ledger.leave(self.now, thread, sp, result, stored, self.now)

    def pick_block(self, pick):
        """Return a block that no call is working on, as a correct program would."""
        busy = [id(call.block) for call in self.calls.values()]
        idle = [block for block in self.blocks if id(block) not in busy]
        return idle[pick % len(idle)] if idle else None

    def end_block(self, block):
        self.blocks = [other for other in self.blocks if other is not block]
        self.frees += 1
        self.frees_of_older_blocks += block.older

    @rule(thread=threads, name=st.sampled_from(["free", "cfree"]), pick=picks)
    def free(self, thread, name, pick):
        block = self.pick_block(pick)
        if block and thread not in self.calls:
            self.enter(name, thread, TOP - 16 * (pick % 4), block.address, 0)
            self.end_block(block)
            self.room.append(block.address)

    @rule(thread=threads, function=functions, size=sizes, pick=picks)
    def call(self, thread, function, size, pick):
        if thread in self.calls:
            return
        block = None
        if function.pointer is not None and pick % 5:
            block = self.pick_block(pick)
        sp = TOP - 16 * (pick % 4)
        self.calls[thread] = TrueCall(function, sp, size, block)
        self.enter(function.name, thread, sp, block.address if block else 0, size)
        if function.name == "reallocarray" and pick % 2:
            self.enter("realloc", thread, sp, block.address if block else 0, size)

    @precondition(lambda self: any(call.result is None for call in self.calls.values()))
    @rule(pick=picks, nested=st.booleans())
    def work(self, pick, nested):
        waiting = sorted(t for t, call in self.calls.items() if call.result is None)
        thread = waiting[pick % len(waiting)]
        call = self.calls[thread]
        old = call.block.address if call.block else 0
        deeper = call.sp - 48
        if call.block and not call.size:
            call.result = 0
        elif old and pick % 3 == 0:
            call.result = old
        else:
            call.result = self.room.pop(pick % len(self.room)) if self.room else 0
            if nested:
                self.enter("malloc", thread, deeper, 0, call.size + 8)
                self.leave(thread, deeper, call.result)
        if old and call.result != old and (call.result or not call.size):
            if nested:
                self.enter("free", thread, deeper, old, 0)
            self.room.append(old)

    @precondition(lambda self: any(call.result is not None for call in self.calls.values()))
    @rule(pick=picks)
    def ret(self, pick):
        ready = sorted(t for t, call in self.calls.items() if call.result is not None)
        thread = ready[pick % len(ready)]
        call = self.calls.pop(thread)
        if call.function.result is None:
            self.leave(thread, call.sp, call.result)
        else:
            self.leave(thread, call.sp, 0 if call.result else ENOMEM, call.result or 0xBAD)
        if call.block and not call.block.older and call.result:
            call.block.address, call.block.size = call.result, call.size
            return
        if call.block and (call.result or not call.size):
            self.end_block(call.block)
        if call.result:
            self.blocks.append(TrueBlock(call.result, call.size))

    @invariant()
    def books_are_true(self):
        # A realloc under way has done nothing yet, as far as anybody was told.
        true = Counter((b.address, b.size) for b in self.blocks if not b.older)
        books = Counter((b.address, b.size) for b in self.ledger.survivors)
        assert books == true
        assert self.ledger.frees == self.frees
        assert self.ledger.frees_of_older_blocks == self.frees_of_older_blocks
        assert self.ledger.missed_frees == self.ledger.unfinished_calls == 0

    def teardown(self):
        self.ledger.close()
        self.books_are_true()


TestProgram = Program.TestCase
TestProgram.settings = settings(max_examples=scaled(60), stateful_step_count=60)


class Told:
    """What a ledger tells of blocks."""

    def __init__(self):
        self.freed, self.grown, self.older = [], [], []
        self.ledger = Ledger(
            self.freed.append,
            lambda block, by, now: self.grown.append((block.address, by, now)),
            lambda size, now: self.older.append((size, now)),
        )

    def realloc(self, now, pointer, size, result, usable=0):
        self.ledger.enter(0, BY_NAME["realloc"], now, 1, TOP, pointer, size, usable=usable)
        self.ledger.leave(now, 1, TOP, result, 0, stack=now)

    def free(self, now, pointer, usable=0):
        self.ledger.enter(0, BY_NAME["free"], now, 1, TOP, pointer, 0, usable=usable)


def test_older_block_counts_by_what_it_grew():
    told = Told()
    told.realloc(1, A, 1000, B, usable=104)
    told.realloc(2, B, 1500, A)
    told.realloc(3, A, 50, B)
    (block,) = told.ledger.outstanding.values()
    assert (block.size, block.net_bytes, block.reallocations) == (50, 0, 3)
    assert told.grown == [(B, 896, 1), (A, 500, 2), (B, -1396, 3)]
    assert block.allocated_bytes == 1396
    told.free(4, B)
    assert (told.freed, told.older) == ([block], [])


def test_older_block_of_unknown_size_counts_whole():
    told = Told()
    told.realloc(1, A, 1000, B)
    (block,) = told.ledger.outstanding.values()
    assert (block.net_bytes, block.allocated_bytes, told.grown) == (1000, 1000, [(B, 1000, 1)])


def test_older_blocks_that_are_freed_are_told_with_their_size():
    told = Told()
    told.free(1, A, usable=24)
    told.free(2, B)
    told.realloc(3, A, 0, 0, usable=40)
    assert told.older == [(24, 1), (0, 2), (40, 3)]
