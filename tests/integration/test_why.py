"""Who holds a block: real programs that hold them in many ways, read while they run."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest
from support.libraries import LIBRARIES, find_library
from support.processes import state_of, wait_until

from gdbleak.elf.cache import ImageCache
from gdbleak.errors import NoSuchProcessError
from gdbleak.memory.index import TooLargeError, make_index
from gdbleak.survey import ways
from gdbleak.survey.wish import Wish
from gdbleak.target.examined import ExaminedProcess
from gdbleak.target.proc import list_threads

pytestmark = pytest.mark.usefixtures("needs_ptrace")


@pytest.fixture
def holders(build_target, start_target):
    return start_target(build_target("holders.c"))


@pytest.fixture
def ask(cli):
    """Return a function that runs `gdbleak why` and returns its JSON."""

    def ask(target, address, *options):
        wait_until_it_waits(target)
        result = cli.run("why", target.pid, address, "--format", "json", *options)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return ask


def wait_until_it_waits(target):
    """Let its main thread wait for the next question, so that its stack pointer is known."""
    wait_until(lambda: state_of(target.pid) in "ST", "it waited")


def find_ways(target, address):
    with ImageCache() as images, ExaminedProcess(target.pid, images) as process:
        return ways.find_ways(process, images, address, Wish(), None)


def line_of(text):
    """Return in which line of the source a text stands first."""
    lines = (Path(__file__).parents[1] / "targets" / "holders.c").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def direct(answer):
    """Return the only way of an answer, which is one step long."""
    [way] = answer["ways"]
    [holder] = way["holders"]
    return holder


@pytest.mark.parametrize(
    ("name", "root", "declaration"),
    [
        ("global", "server+0x18", "static volatile struct server server;"),
        ("function", "last", "static void *volatile last;"),
        ("thread", "cache of thread {pid}", "static _Thread_local void *volatile cache;"),
    ],
)
def test_variables_have_names_and_lines(holders, ask, name, root, declaration):
    address = holders.ask(name)
    answer = ask(holders, address)
    holder = direct(answer)
    assert holder["root"] == root.format(pid=holders.pid)
    assert holder["place"] == f"holders.c:{line_of(declaration)}"
    assert holder["module"] == "holders"
    assert (answer["block"], answer["block_bytes"]) == (int(address, 16), 120)


def test_what_a_thread_keeps(holders, ask):
    """A value of pthread_setspecific is in the C library's own block of the thread."""
    answer = ask(holders, holders.ask("key"))
    assert direct(answer)["root"] == f"what thread {holders.pid} has of its own"


def test_stack_of_a_thread_that_waits(holders, ask):
    answer = ask(holders, holders.ask("stack"))
    [thread] = {*list_threads(holders.pid)} - {holders.pid}
    roots = {way["holders"][-1]["root"] for way in answer["ways"]}
    places = {way["holders"][-1]["place"] for way in answer["ways"]}
    assert roots == {f"thread {thread}'s stack"}
    assert any(re.fullmatch(r"wait_with_block \(holders\.c:\d+\)", place or "") for place in places)


def test_stack_of_a_thread_that_runs(build_target, start_target, ask):
    target = start_target(build_target("holders.c"), "runs")
    answer = ask(target, target.ask("runs"))
    assert answer["ways"]
    assert all("stack" in way["holders"][-1]["root"] for way in answer["ways"])
    assert any("1 thread runs" in note for note in answer["notes"])


def test_long_list_is_walked_to_its_head(holders, cli, ask):
    address = holders.ask("list")
    answer = ask(holders, address)
    [way] = [way for way in answer["ways"] if way["holders"][-1]["root"] == "list"]
    nodes = way["holders"][:-1]
    assert len(nodes) == 9999
    assert {(node["block_bytes"], node["address"] - node["block"]) for node in nodes} == {(24, 0)}
    shown = cli.run("why", holders.pid, address).stdout
    assert "  and so on, through 9,997 more such blocks, each held by the next\n" in shown


def test_middle_of_a_block_with_a_mapping_of_its_own(holders, ask):
    answer = ask(holders, holders.ask("large"))
    large, root = answer["ways"][0]["holders"]
    assert large["address"] - large["block"] == 1 << 19
    assert large["block_bytes"] >= 1 << 20
    assert root["root"] == "server+0x20"


def test_shared_memory_is_a_root(holders, ask):
    answer = ask(holders, holders.ask("shared"))
    assert direct(answer)["root"] == "shared memory+0x10"


def test_nothing_refers_to_it(holders, cli):
    address = holders.ask("lost")
    wait_until_it_waits(holders)
    result = cli.run("why", holders.pid, address)
    assert result.exit_code == 0
    assert "Nothing refers to it, as far as memory tells" in result.stdout
    assert "nothing was stopped" in result.stdout


def test_ring_whose_head_is_gone_has_no_root(holders, cli, ask):
    address = holders.ask("ring")
    assert (ask(holders, address)["ways"], ask(holders, address)["blocks"]) == ([], 1)
    assert "No root was found: 1 block leads to it" in cli.run("why", holders.pid, address).stdout


@pytest.mark.parametrize("name", ["map", "list"])
def test_nodes_that_know_each_other(build_target, start_target, ask, name):
    """Nearly all nodes lead to nearly all others: the way to the root is found all the same."""
    target = start_target(build_target("tree.cpp"), "30000")
    answer = ask(target, target.ask(name), "--time", 100)
    roots = [way["holders"][-1]["root"] for way in answer["ways"]]
    assert all(root.startswith({"map": "sessions", "list": "queue"}[name]) for root in roots)
    assert roots
    if name == "map":  # its height is at most twice the logarithm of its size
        assert len(answer["ways"][0]["holders"]) <= 31


@pytest.mark.parametrize("name", ["global", "large", "thread", "stack"])
def test_without_room_for_an_index_the_same_is_found(holders, monkeypatch, name):
    def refuse(*_):
        raise TooLargeError

    address = int(holders.ask(name), 16)
    wait_until_it_waits(holders)
    indexed = find_ways(holders, address)
    monkeypatch.setattr(ways, "make_index", refuse)
    read = find_ways(holders, address)
    assert read.ways == indexed.ways


def test_other_allocator(build_target, start_target, ask):
    """Its blocks have no sizes before them, and nobody has written into this one."""
    library = find_library(LIBRARIES["jemalloc"])
    target = start_target("env", f"LD_PRELOAD={library}", build_target("holders.c"))
    answer = ask(target, target.ask("global"))
    assert not answer["is_known"]
    assert "server+0x18" in [way["holders"][-1]["root"] for way in answer["ways"]]
    block = int(target.ask("key"), 16)
    inside = ask(target, hex(block + 9))
    assert (inside["block"], inside["block_bytes"]) == (block, 16)
    assert inside["ways"][0]["holders"][-1]["root"] == f"what thread {target.pid} has of its own"


def test_size_asks_about_anything(holders, ask):
    variable = ask(holders, holders.ask("variable"), "--size", 40)
    assert variable["is_known"]
    freed = ask(holders, holders.ask("freed"), "--size", 240)
    assert (freed["block_bytes"], freed["is_known"]) == (240, True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("freed", "is in free memory of malloc"),
        ("code", "is in no block: it is in "),
        ("variable", "is in no block: it is in "),
    ],
)
def test_address_in_no_block_in_use(holders, cli, name, said):
    result = cli.run("why", holders.pid, holders.ask(name))
    assert (result.exit_code, result.stdout) == (3, "")
    [what, cure] = result.stderr.splitlines()
    assert said in what
    assert cure == "  try: to see what refers to it all the same, add `--size BYTES`"


def test_address_that_is_not_mapped(holders, cli):
    result = cli.run("why", holders.pid, "0x10")
    assert result.exit_code == 3
    assert f"nothing is mapped at 0x10 in process {holders.pid}\n" in result.stderr
    assert "try: list blocks" in result.stderr


@pytest.mark.parametrize("address", ["block", "0x", "0", "-8", "0xffffffffffffffff", ""])
def test_what_is_no_address(holders, cli, address):
    result = cli.run("why", holders.pid, "--", address)
    assert result.exit_code == 2
    assert "not an address" in result.stderr
    assert "try: run `gdbleak why --help`" in result.stderr


def test_process_that_job_control_has_stopped(holders, ask):
    address = holders.ask("global")
    os.kill(holders.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: state_of(holders.pid) == "T", "it had stopped")
        assert direct(ask(holders, address))["root"] == "server+0x18"
        assert state_of(holders.pid) == "T"
    finally:
        os.kill(holders.pid, signal.SIGCONT)


def test_process_that_ends_meanwhile(holders, monkeypatch):
    def end_and_make(*arguments):
        holders.process.kill()
        holders.process.wait()
        return make_index(*arguments)

    address = int(holders.ask("global"), 16)
    monkeypatch.setattr(ways, "make_index", end_and_make)
    with pytest.raises(NoSuchProcessError, match="has ended meanwhile"):
        find_ways(holders, address)


def test_time_that_is_too_short_ends_it_with_what_was_found(holders, cli):
    result = cli.run("why", holders.pid, holders.ask("list"), "--time", 0.1, "--format", "json")
    assert result.exit_code == 0
    made = json.loads(result.stdout)
    assert made["ended"] is None or "time is up" in made["ended"]


def test_no_such_process(cli):
    result = cli.run("why", 2**22 + 1, "0x1000")
    assert result.exit_code == 3
    assert "there is no process" in result.stderr
