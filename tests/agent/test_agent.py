"""The agent under plain Python, with a small fake in place of GDB."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import runpy
import signal
import struct
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import recordings
from fake_gdb import FakeGdb, FakeThread
from support.events import hits_of

from gdbleak.recording.events import Turn, iter_frames
from gdbleak.recording.frames import HEAD, HIT, MAGIC, PHASE
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe, Role
from gdbleak.recording.reader import Recording

IGNORED = (*(signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXCPU, signal.SIGXFSZ),)
"""Signals that the agent keeps from ending GDB."""

AGENT = Path(__file__).parents[2] / "gdbscripts" / "gdbleak_agent.py"
MALLOC, MALLOC_RET, MEMALIGN, MEMALIGN_RET = range(4)
PROBES = (
    Probe(MALLOC, 0x1000, "malloc", Role.ENTRY, ("rsp", "rdi"), None, "55"),
    Probe(MALLOC_RET, 0x1010, "malloc", Role.RETURN, ("rsp", "rax", "rbp"), None, "c3"),
    Probe(MEMALIGN, 0x2000, "posix_memalign", Role.ENTRY, ("rsp", "rdi", "rdx"), "rdi", "55"),
    Probe(MEMALIGN_RET, 0x2010, "posix_memalign", Role.RETURN, ("rsp", "rax", "rbp"), None, "c3"),
)
STACK_BYTES = 256
BASE = 0x7FFF_0000
"""Where the fake's memory begins: the words 0, 1, 2, …"""
MEMORY = struct.pack("<2048Q", *range(2048))
HIGH = 0xFFFF_FFFF_FFFF_FFF0
"""A register value that is negative as a signed number."""


class Agent:
    """An agent that was started, on its way to write a recording."""

    def __init__(self, gdb: FakeGdb, path: Path, plan: Path) -> None:
        self.gdb = gdb
        self.path = path
        self.start(plan)

    def start(self, plan):
        self.gdb.commands["gdbleak-start"].invoke(str(plan), False)

    @property
    def recorder(self):
        return self.gdb.commands["gdbleak-status"].window.recorder

    def ask(self, command, argument=""):
        """Return what a command tells the controller."""
        self.gdb.commands[command].invoke(argument, False)
        return json.loads(self.gdb.calls.pop().partition(" ")[2])

    def status(self):
        """Return what the controller would be told."""
        return self.ask("gdbleak-status")

    def hits(self):
        """Return probe, thread, registers and stored value of every hit in the recording."""
        hits = hits_of(Recording(str(self.path)))
        return [(hit.probe, hit.thread, hit.registers, hit.stored) for hit in hits]

    def stacks(self):
        """Return the raw stack of every hit."""
        recording = Recording(str(self.path))
        return [bytes(recording.stack(hit.position)[0]) for hit in hits_of(recording)]


@pytest.fixture
def gdb(monkeypatch):
    """Return the fake GDB, in which the agent can be loaded."""
    fake = FakeGdb()
    fake.mapping = (BASE, MEMORY)
    monkeypatch.setitem(sys.modules, "gdb", fake)
    return fake


@pytest.fixture
def start(gdb, tmp_path):
    """Return a function that loads the agent into the fake GDB and starts it."""
    recording = tmp_path / "recording"
    # In a GDB the agent ignores them for good; here whatever is started later would inherit that.
    handlers = {number: signal.getsignal(number) for number in IGNORED}

    def start(recording=recording, stack_bytes=STACK_BYTES, probes=PROBES, sentinel=None):
        if recording.is_file() or not recording.exists():
            recordings.write(recording, recordings.head(probes=[each.to_json() for each in probes]))
        plan = {
            "pid": os.getpid(),
            "recording": str(recording),
            "stack_bytes": stack_bytes,
            "breakpoint": "cc",
            "sentinel": sentinel,
            "probes": [probe.to_json() for probe in probes],
        }
        (tmp_path / "plan.json").write_text(json.dumps(plan))
        sys.modules.pop("gdbleak_recorder", None)  # it belongs to the GDB of an earlier test
        runpy.run_path(str(AGENT))
        return Agent(gdb, recording, tmp_path / "plan.json")

    yield start
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for window in {command.window for command in gdb.commands.values()}:
        window.recorder.close()


@pytest.fixture
def agent(start):
    """Return a started agent."""
    return start()


def test_signals_that_would_end_gdb_are_ignored(agent):
    assert agent
    assert {signal.getsignal(number) for number in IGNORED} == {signal.SIG_IGN}


def test_start_is_one_step(agent):
    assert agent.gdb.calls == [
        f"attach {os.getpid()}",
        "selected_inferior",
        *(f"break *{probe.address:#x}" for probe in PROBES),
        "catch exec",
        "continue &",
    ]
    assert agent.status()["attach_pause_ns"] > 0


def test_next_window_forgets_the_breakpoints_of_the_one_before(agent, tmp_path):
    """They would go into the code of another process."""
    before = len(agent.gdb.calls)
    agent.start(tmp_path / "plan.json")
    assert agent.gdb.calls[before:] == [
        *(f"delete *{probe.address:#x}" for probe in reversed(PROBES)),
        "delete",
        *agent.gdb.calls[:before],
    ]
    assert agent.gdb.hit(len(PROBES) + MALLOC, 7, rsp=BASE, rdi=1) is False
    assert agent.status()["stops"] == 1


def test_threads_that_gdb_holds(agent):
    agent.gdb.threads_held = [FakeThread(4242), FakeThread(4250)]
    assert agent.ask("gdbleak-threads") == [4242, 4250]


@pytest.mark.parametrize(
    ("threads", "calls"),
    [
        ([FakeThread(1, is_stopped=False)], []),
        ([FakeThread(1), FakeThread(2, is_stopped=False)], []),
        ([FakeThread(1), FakeThread(2)], ["detach", "quit"]),
        ([], ["quit"]),
    ],
)
def test_leaves_no_target_that_runs(agent, threads, calls):
    """Before GDB 11 it would keep its breakpoints."""
    agent.gdb.threads_held = threads
    agent.gdb.calls.clear()
    agent.gdb.commands["gdbleak-leave"].invoke("", False)
    assert [call for call in agent.gdb.calls if call != "selected_inferior"] == calls


def test_window_opens_once_the_target_runs(agent):
    recording = Recording(str(agent.path))
    assert 0 < (recording.opened_ns or 0) <= agent.status()["now_ns"]


CODE = bytes(range(0x40, 0x50))
"""What stands in the memory that breakpoints are written to."""

IN_PHASES = {
    0: (Phase.ALL,),
    3: (Phase.ALL, Phase.FEWER, Phase.SETTLING),
    8: (Phase.ALL, Phase.FEWER, Phase.FREES, Phase.SETTLING),
}
"""Offsets of breakpoints in it, and when they are in."""


class Code:
    """An agent whose breakpoints lie in the memory of this process."""

    def __init__(self, start, sentinel=None) -> None:
        self.buffer = ctypes.create_string_buffer(CODE, len(CODE))
        address = ctypes.addressof(self.buffer)
        self.agent = start(
            probes=[
                Probe(
                    *(id_, address + offset, "malloc", Role.ENTRY, ("rsp", "rdi"), None),
                    original=CODE[offset : offset + 1].hex(),
                    phases=phases,
                )
                for id_, (offset, phases) in enumerate(IN_PHASES.items())
            ],
            sentinel=sentinel,
        )
        # GDB has put them in.
        for offset in IN_PHASES:
            self.buffer[offset] = b"\xcc"

    def turn(self, phase):
        """Have other breakpoints in; return what the controller is told."""
        return self.agent.ask("gdbleak-turn", str(phase.value))

    def breakpoints(self):
        """Return where breakpoints are, having looked that the rest is as it was."""
        changed = {n for n, (now, was) in enumerate(zip(self.buffer.raw, CODE)) if now != was}
        assert all(self.buffer.raw[offset] == 0xCC for offset in changed)
        return changed

    def phases(self):
        """Return the phases that the recording tells of."""
        events = Recording(str(self.agent.path)).iter_events()
        return [event.phase for event in events if isinstance(event, Turn)]


@pytest.mark.parametrize("before", Phase)
@pytest.mark.parametrize("after", Phase)
def test_turn(start, before, after):
    """A phase begins when its last breakpoint is in, and ends before its first is taken out."""
    code = Code(start)
    code.turn(before)
    status = code.turn(after)
    assert (status["phase"], status["turn_error"]) == (after, None)
    assert code.breakpoints() == {n for n, phases in IN_PHASES.items() if after in phases}
    turns = [Phase.ALL, before, after]
    assert code.phases() == [phase for phase, _ in itertools.groupby(turns)]


def test_turn_leaves_the_sentinel_in(start):
    code = Code(start, sentinel=0)
    code.turn(Phase.NONE)
    assert code.breakpoints() == {0}
    code.turn(Phase.FREES)
    assert code.breakpoints() == {0, 8}


def test_nothing_is_put_in_while_gdb_has_taken_all_out(start):
    """A child of vfork, which nobody traces, runs in the same memory."""
    code = Code(start, sentinel=0)
    for offset in IN_PHASES:
        code.buffer[offset] = CODE[offset : offset + 1]
    assert code.turn(Phase.FEWER)["phase"] == Phase.ALL
    assert code.turn(Phase.NONE)["phase"] == Phase.NONE
    assert code.turn(Phase.FEWER)["phase"] == Phase.NONE
    assert code.breakpoints() == set()
    assert code.phases() == [Phase.ALL, Phase.NONE]
    code.buffer[0] = b"\xcc"
    assert code.turn(Phase.FEWER)["phase"] == Phase.FEWER


@pytest.mark.parametrize("phase", [Phase.FEWER, Phase.NONE])
def test_what_gdb_has_put_in_again_is_taken_out_at_the_first_hit(start, phase):
    code = Code(start)
    code.turn(phase)
    for offset in IN_PHASES:
        code.buffer[offset] = b"\xcc"
    assert code.agent.gdb.hit(0, 7, rsp=BASE, rdi=1) is False
    assert code.breakpoints() == {n for n, phases in IN_PHASES.items() if phase in phases}
    assert code.agent.hits() == []
    assert (code.agent.status()["stops"], code.agent.status()["lost"]) == (1, 0)


def test_turn_tells_why_it_failed(start):
    code = Code(start)
    os.close(code.agent.recorder.code.memory)
    assert code.turn(Phase.NONE)["turn_error"] == "Bad file descriptor"
    code.agent.recorder.code.memory = os.open("/dev/null", os.O_RDWR)


def test_entry(agent):
    assert agent.gdb.hit(MALLOC, 7, rsp=BASE, rdi=HIGH) is False
    assert agent.hits() == [(MALLOC, 7, (BASE, HIGH), 0)]
    assert agent.stacks() == [b""]


def test_return_with_its_stack(agent):
    assert agent.gdb.hit(MALLOC_RET, 7, rsp=BASE + 16, rax=HIGH, rbp=3) is False
    assert agent.hits() == [(MALLOC_RET, 7, (BASE + 16, HIGH, 3), 0)]
    assert agent.stacks() == [MEMORY[16 : 16 + STACK_BYTES]]


def test_times_do_not_go_back(agent):
    for _ in range(5):
        agent.gdb.hit(MALLOC, 7, rsp=BASE, rdi=1)
    recording = Recording(str(agent.path))
    times = [recording.opened_ns or 0, *(hit.time_ns for hit in hits_of(recording))]
    assert times == sorted(times)


@pytest.mark.parametrize("left", [8, 64, STACK_BYTES, STACK_BYTES + 8])
def test_stack_ends_with_its_mapping(agent, left):
    stack = MEMORY[-left:][:STACK_BYTES]
    agent.gdb.hit(MALLOC_RET, 7, rsp=BASE + len(MEMORY) - left, rax=1, rbp=0)
    assert agent.stacks() == [stack]


@pytest.mark.parametrize("stack_bytes", [4096, 10_000, 1 << 20])
def test_stack_of_several_pages_ends_with_its_mapping(start, stack_bytes):
    agent = start(stack_bytes=stack_bytes)
    agent.gdb.hit(MALLOC_RET, 7, rsp=BASE + 4096 + 8, rax=1, rbp=0)
    assert agent.stacks() == [MEMORY[4096 + 8 :][:stack_bytes]]


def test_a_huge_stack_limit_costs_few_reads(start):
    agent = start(stack_bytes=1 << 30)
    reads = []
    agent.gdb.fail = reads.append
    agent.gdb.hit(MALLOC_RET, 7, rsp=BASE + 4096 + 8, rax=1, rbp=0)
    assert agent.stacks() == [MEMORY[4096 + 8 :]]
    assert reads.count("read_memory") < 100, "the target stands still for each of them"


def test_no_stack_at_all(agent):
    agent.gdb.hit(MALLOC_RET, 7, rsp=8, rax=1, rbp=0)
    assert agent.stacks() == [b""]
    assert agent.status()["lost"] == 0


def test_value_that_posix_memalign_stores(agent):
    hit = agent.gdb.hit
    hit(MEMALIGN, 7, rsp=BASE + 64, rdi=BASE + 800, rdx=10)
    hit(MEMALIGN, 8, rsp=BASE + 64, rdi=BASE + 1600, rdx=20)
    hit(MEMALIGN_RET, 8, rsp=BASE + 64, rax=0, rbp=0)
    hit(MEMALIGN_RET, 7, rsp=BASE + 64, rax=0, rbp=0)
    assert [stored for *_, stored in agent.hits()] == [0, 0, 200, 100]


def test_size_of_a_block_that_is_freed(start):
    registers = ("rsp", "rdi")
    agent = start(
        probes=[Probe(0, 0x10, "free", Role.ENTRY, registers, None, "55", size_offset=-8)]
    )
    for pointer in (BASE + 808, 0, 8):  # at the last one nothing is mapped
        agent.gdb.hit(0, 7, rsp=BASE + 64, rdi=pointer)
    assert [stored for *_, stored in agent.hits()] == [100, 0, 0]


def test_words_of_a_block_that_is_handed_out(start):
    registers = ("rsp", "rax", "rbp")
    probe = Probe(0, 0x10, "malloc", Role.RETURN, registers, None, "c3", size_offset=-8)
    agent = start(probes=[replace(probe, size_words=3)])
    for pointer in (BASE + 808, 0, 8):
        agent.gdb.hit(0, 7, rsp=BASE + 64, rax=pointer, rbp=0)
    hits = hits_of(Recording(str(agent.path)))
    assert [(hit.stored, hit.mark) for hit in hits] == [(100, 102), (0, 0), (0, 0)]
    assert [len(stack) for stack in agent.stacks()] == [STACK_BYTES] * 3


def test_return_of_another_call_stores_nothing(agent):
    hit = agent.gdb.hit
    hit(MEMALIGN_RET, 7, rsp=BASE + 64, rax=0, rbp=0)  # its call came before the window
    hit(MEMALIGN, 7, rsp=BASE + 64, rdi=BASE + 800, rdx=10)
    hit(MALLOC_RET, 7, rsp=BASE, rax=1, rbp=0)  # a call that posix_memalign makes
    hit(MEMALIGN_RET, 7, rsp=BASE + 64, rax=0, rbp=0)
    hit(MALLOC_RET, 7, rsp=BASE + 64, rax=1, rbp=0)  # a later one at the same depth
    assert [stored for *_, stored in agent.hits()] == [0, 0, 0, 100, 0]


FAILURES = [
    RuntimeError("no frame"),
    ValueError("not a number"),
    KeyboardInterrupt(),
    SystemExit(1),
    GeneratorExit(),
    OSError(5, "Input/output error"),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["parse_and_eval", "selected_thread", "read_memory"])
def test_failure_is_counted_and_the_target_runs_on(agent, where, error):
    def fail(asked):
        if asked == where:
            raise error

    agent.gdb.fail = fail
    assert agent.gdb.hit(MALLOC_RET, 7, rsp=BASE, rax=1, rbp=0) is False
    status = agent.status()
    assert (status["stops"], status["lost"], status["write_error"]) == (1, 1, None)
    assert status["last_error"].startswith(type(error).__name__)

    agent.gdb.fail = lambda _: None
    agent.gdb.hit(MALLOC, 7, rsp=BASE, rdi=1)
    assert agent.hits() == [(MALLOC, 7, (BASE, 1), 0)]
    assert (agent.status()["stops"], agent.status()["lost"]) == (2, 1)


def test_pointer_for_the_result_leads_nowhere(agent):
    hit = agent.gdb.hit
    assert hit(MEMALIGN, 7, rsp=BASE, rdi=8, rdx=10) is False
    assert hit(MEMALIGN_RET, 7, rsp=BASE, rax=22, rbp=0) is False
    # posix_memalign has failed, without touching the pointer: nothing is lost.
    assert agent.hits()[-1] == (MEMALIGN_RET, 7, (BASE, 22, 0), 0)


def test_full_disk(start):
    agent = start(Path("/dev/full"))
    for _ in range(3):
        assert agent.gdb.hit(MALLOC, 7, rsp=BASE, rdi=1) is False
    status = agent.status()
    assert status["write_error"] == os.strerror(28)
    assert (status["stops"], status["lost"]) == (3, 4), "three hits and the opening"


def test_nothing_follows_half_a_frame(agent, monkeypatch):
    agent.gdb.hit(MALLOC, 7, rsp=BASE, rdi=1)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[: len(data) // 2]))
    agent.gdb.hit(MALLOC, 7, rsp=BASE, rdi=2)
    monkeypatch.setattr(os, "write", write)
    agent.gdb.hit(MALLOC, 7, rsp=BASE, rdi=3)

    assert [registers[1] for _, _, registers, _ in agent.hits()] == [1]
    assert Recording(str(agent.path)).end is None
    assert (agent.status()["lost"], agent.status()["write_error"]) == (2, "no space left")


def test_stop_changes_nothing_in_gdb(agent, capsys):
    before = list(agent.gdb.calls)
    hit = agent.gdb.hit
    hit(MALLOC, 7, rsp=BASE, rdi=1)
    hit(MALLOC_RET, 7, rsp=BASE, rax=1, rbp=0)
    hit(MEMALIGN, 7, rsp=BASE, rdi=8, rdx=10)
    hit(MEMALIGN_RET, 7, rsp=BASE, rax=0, rbp=0)  # fails to read what was stored
    assert agent.gdb.calls == before
    assert capsys.readouterr() == ("", "")


def test_only_whole_frames_are_written(agent):
    for size in range(1, 4):
        agent.gdb.hit(MALLOC, size, rsp=BASE, rdi=size)
    data = agent.path.read_bytes()
    frames = list(iter_frames(data, len(MAGIC), len(data)))
    assert [kind for _, kind, *_ in frames] == [HEAD, PHASE, HIT, HIT, HIT]
    assert sum(frames[-1][3:]) == len(data)


def test_longest_stop_is_kept(agent):
    recorder = agent.recorder
    agent.gdb.hit(MALLOC, 7, rsp=BASE, rdi=1)
    assert 0 < agent.status()["longest_stop_ns"] < 1e9
    recorder.longest_stop_ns = 10**15
    agent.gdb.hit(MALLOC, 7, rsp=BASE, rdi=1)
    assert agent.status()["longest_stop_ns"] == 10**15


@pytest.mark.parametrize("missing", ["attach", "continue"])
def test_failed_start_is_told(start, gdb, monkeypatch, missing):
    def execute(command, **_):
        if command.startswith(missing):
            raise RuntimeError(f"{command}: Operation not permitted.")

    monkeypatch.setattr(gdb, "execute", execute)
    with pytest.raises(RuntimeError, match="not permitted"):
        start()


def test_source_is_ascii_and_prints_nothing():
    source = AGENT.read_bytes()
    assert source.isascii()
    assert b"print(" not in source


SIZED = (
    Probe(0, 0x1000, "malloc", Role.RETURN, ("rsp", "rax", "rbp"), None, "c3", 0, -8, 3),
    Probe(1, 0x1010, "free", Role.ENTRY, ("rsp", "rdi"), None, "55", 0, -8),
    Probe(2, 0x2000, "realloc", Role.ENTRY, ("rsp", "rdi", "rsi"), None, "55", 0, -8),
    Probe(3, 0x2010, "realloc", Role.RETURN, ("rsp", "rax", "rbp"), None, "c3", 0, -8),
    *(replace(probe, id=2 + probe.id) for probe in PROBES[2:]),
)
KEPT = tuple(
    probe if probe.out_register or (len(probe.registers) > 2 and probe.role is Role.ENTRY)
    else replace(probe, kept_sizes=(32, 48))
    for probe in SIZED
)  # fmt: skip
TOP = BASE + len(MEMORY) - STACK_BYTES


def block(size):
    """Return where in the fake's memory a block is that has this word before it."""
    return BASE + 8 * (size + 1)


@pytest.fixture
def chooser(start):
    return start(probes=KEPT)


def test_blocks_of_other_sizes_are_not_written(gdb, chooser):
    for size in (31, 32, 55, 56, 1000):
        gdb.hit(0, 1, rsp=TOP, rax=block(size), rbp=0)
        gdb.hit(1, 1, rsp=TOP, rdi=block(size))
    gdb.hit(1, 1, rsp=TOP, rdi=0)
    kept = [(0, block(32)), (1, block(32)), (0, block(55)), (1, block(55))]
    assert [(probe, registers[1]) for probe, _, registers, _ in chooser.hits()] == kept
    status = chooser.status()
    assert (status["stops"], status["skipped"], status["lost"]) == (11, 7, 0)


def test_the_end_of_a_resize_is_written_if_its_beginning_was(gdb, chooser):
    """And of what it calls itself only what is chosen."""
    gdb.hit(2, 1, rsp=TOP, rdi=block(32), rsi=99)
    gdb.hit(0, 1, rsp=TOP - 64, rax=block(200), rbp=0)
    gdb.hit(2, 1, rsp=TOP - 64, rdi=block(201), rsi=99)
    gdb.hit(3, 2, rsp=TOP, rax=block(200), rbp=0)
    gdb.hit(3, 1, rsp=TOP, rax=block(200), rbp=0)
    gdb.hit(3, 1, rsp=TOP, rax=block(202), rbp=0)
    gdb.hit(2, 1, rsp=TOP, rdi=0, rsi=99)
    gdb.hit(0, 1, rsp=TOP, rax=block(203), rbp=0)
    written = [(probe, registers[1]) for probe, _, registers, _ in chooser.hits()]
    resized = [(2, block(32)), (2, block(201)), (3, block(200))]
    assert written == [*resized, (2, 0), (0, block(203))]
    assert {len(stack) for stack in chooser.stacks()} == {0}


def test_the_end_of_a_chosen_resize_has_its_stack(gdb, chooser):
    gdb.hit(2, 1, rsp=TOP, rdi=block(200), rsi=9)
    gdb.hit(3, 1, rsp=TOP, rax=block(33), rbp=0)
    assert [len(stack) for stack in chooser.stacks()] == [0, STACK_BYTES]


def test_a_stored_block_of_another_size_is_none(gdb, chooser):
    out = BASE + 8 * 100
    for word in (block(32), block(200)):
        gdb.mapping = BASE, MEMORY[:800] + struct.pack("<Q", word) + MEMORY[808:]
        gdb.hit(4, 1, rsp=TOP, rdi=out, rdx=20)
        gdb.hit(5, 1, rsp=TOP, rax=0, rbp=0)
    stored = [stored for probe, _, _, stored in chooser.hits() if probe == 5]
    assert stored == [block(32), 0]


def test_what_was_begun_is_forgotten_with_the_breakpoints(gdb, chooser):
    gdb.hit(2, 1, rsp=TOP, rdi=block(200), rsi=9)
    assert chooser.recorder.entered == {1: TOP}
    chooser.recorder.code.put = chooser.recorder.code.wanted
    chooser.recorder.turn(Phase.NONE)
    assert chooser.recorder.entered == {}
