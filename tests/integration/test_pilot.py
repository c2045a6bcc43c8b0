"""The rate of allocations, measured in processes that know it themselves."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

import pytest

from gdbleak.plan.allocators import Entry, find_allocators, plan_probes
from gdbleak.plan.selection import Selection
from gdbleak.preflight import pilot
from gdbleak.preflight.perf_counter import REGISTERS, CallCounter, explain, measure_cost
from gdbleak.preflight.pilot import measure_rate
from gdbleak.target.link_map import read_search_order
from gdbleak.target.modules import ModuleReader
from gdbleak.target.proc import Memory, list_threads, read_mappings

FAR = 3.0
"""By what a measured rate may differ: it is that of a fifth of a second, of a machine that does
other things too."""


@pytest.fixture(scope="module")
def needs_counters():
    """Skip where the kernel counts nothing for us."""
    try:
        measure_cost()
    except OSError as error:
        pytest.skip(f"this host counts no calls: {explain(error)}")


@pytest.fixture(autouse=True)
def nothing_stays_open():
    """Assert that every counter is closed, and with it what the kernel has set."""
    yield
    assert open_counters() == 0


def open_counters() -> int:
    """Return how many descriptors of counters there are."""
    files = []
    for file in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the folder itself
            files.append(str(file.readlink()))
    return files.count("anon_inode:[perf_event]")


def entries_of(pid: int, usable_sizes: bool = False) -> tuple[Entry, ...]:
    with Memory(pid) as memory:
        reader = ModuleReader(pid, memory)
        try:
            modules = reader.read(read_mappings(pid))
            allocators = find_allocators(modules, read_search_order(pid, memory))
            return plan_probes(
                allocators, memory, selection=Selection(usable_sizes=usable_sizes)
            ).entries
        finally:
            reader.close()


@pytest.fixture
def measure(build_target, start_target):
    """Return a function that measures a `busy`, and returns the rate with what it says itself."""

    def measure(threads, rate, spin=0):
        target = start_target(build_target("busy.c"), str(threads), str(rate), str(spin))
        entries = entries_of(target.pid)
        for _ in range(20):
            pairs, begin_ns = map(int, target.ask("").split())
            measured = measure_rate(target.pid, entries)
            pairs_after, end_ns = map(int, target.ask("").split())
            truth = (pairs_after - pairs) / (end_ns - begin_ns) * 1e9
            if truth > threads * rate / FAR:
                break
        else:
            pytest.fail("this host is too busy to run what is measured")
        assert len(list_threads(target.pid)) == threads + 1
        for thread in list_threads(target.pid):  # whose debug registers are free again
            CallCounter(thread, [entry.address for entry in entries[:REGISTERS]]).close()
        return measured, truth

    return measure


@pytest.mark.usefixtures("needs_counters")
@pytest.mark.parametrize(
    ("threads", "rate", "spin"),
    [(1, 1_000, 0), (1, 50_000, 0), (1, 0, 300_000), (64, 100, 0), (64, 1_000, 0), (300, 50, 0)],
)
def test_known_rate(measure, threads, rate, spin):
    """What is paced, what is busy with other things, and many threads."""
    measured, truth = measure(threads, rate, spin)
    assert measured.reason is None
    assert measured.allocations_per_s < truth * FAR
    assert measured.allocations_per_s > truth / FAR or measured.at_least
    assert measured.frees_per_s == pytest.approx(measured.allocations_per_s, rel=0.5)


@pytest.mark.usefixtures("needs_counters")
@pytest.mark.parametrize("threads", [1, 4])
def test_as_fast_as_it_can(measure, threads):
    """Counting takes far longer than the calls do: there is a lower bound."""
    # On a busy host it may hardly run while it is measured, and what was counted is all then.
    tries = (measure(threads, 0) for _ in range(5))
    measured, truth = next((each for each in tries if each[0].at_least), (None, 0))
    assert measured is not None, "never a lower bound"
    assert 10_000 < measured.allocations_per_s < truth


@pytest.mark.usefixtures("needs_counters")
def test_threads_that_come_and_go(build_target, start_target):
    """Each of them allocates three times; so does the C library, for each."""
    target = start_target(build_target("threads.c"), "20", "500")
    entries = entries_of(target.pid)
    before = int(target.ask("made"))
    measured = measure_rate(target.pid, entries, 0.5)
    made = int(target.ask("made")) - before
    assert measured.reason is None
    assert made * 3 / FAR < measured.allocations_per_s * 0.5 < made * 3 * FAR
    assert target.ask("roll") == "20"


@pytest.mark.usefixtures("needs_counters")
def test_few_files_may_be_open(measure, monkeypatch):
    """Some threads then stand for all."""

    def get_limit(_):
        return len(list(Path("/proc/self/fd").iterdir())) + 100, -1

    monkeypatch.setattr(resource, "getrlimit", get_limit)
    most = []

    class Counted(CallCounter):
        def close(self):
            most.append(open_counters())
            super().close()

    monkeypatch.setattr(pilot, "CallCounter", Counted)
    measured, truth = measure(64, 1_000)
    assert 0 < max(most) <= 36
    assert truth / FAR < measured.allocations_per_s < truth * FAR


@pytest.mark.usefixtures("needs_counters")
def test_functions_without_a_probe_at_their_entry(build_target, start_target):
    target = start_target(build_target("puppet.c"))
    exact, usable = entries_of(target.pid), entries_of(target.pid, usable_sizes=True)
    assert "malloc" in {entry.function.name for entry in usable}
    assert set(usable) <= set(exact)


@pytest.mark.usefixtures("needs_counters")
def test_process_that_has_ended(build_target, start_target):
    target = start_target(build_target("puppet.c"))
    entries = entries_of(target.pid)
    target.tell("exit 0")
    target.wait()
    measured = measure_rate(target.pid, entries)
    assert measured.reason == "its threads have ended"


@pytest.mark.usefixtures("needs_counters")
def test_debug_registers_in_use(build_target, start_target):
    target = start_target(build_target("puppet.c"))
    entries = entries_of(target.pid)
    counter = CallCounter(target.pid, [entry.address for entry in entries[:REGISTERS]])
    measured = measure_rate(target.pid, entries)
    counter.close()
    assert measured.reason == "its debug registers are in use"


@pytest.mark.usefixtures("needs_ptrace")
def test_what_a_container_may_forbid(cli, build_target, start_target):
    target = start_target(build_target("puppet.c"))
    result = cli.run("doctor", target.pid, wrapper=(build_target("forbid.c"),))
    assert result.exit_code == 0, result.stderr
    assert "not measured: the kernel, or the container's seccomp filter," in result.stdout
    assert Path(f"/proc/{target.pid}").exists()


@pytest.mark.usefixtures("needs_counters", "needs_ptrace")
def test_doctor_says_what_a_recording_would_cost(cli, build_target, start_target):
    target = start_target(build_target("busy.c"), "1", "0", "0")
    lines = cli.run("doctor", target.pid).stdout.splitlines()
    [line] = [line for line in lines if line.startswith("ok       more than ")]
    assert " allocations/s: recording all would slow it more than " in line


@pytest.mark.usefixtures("needs_counters", "needs_ptrace")
def test_trace_says_before_its_window_what_that_costs(cli, build_target, start_target):
    target = start_target(build_target("busy.c"), "1", "0", "0")
    result = cli.run("trace", target.pid, "--duration", "0.5", "--probe", "breakpoint")
    chosen, cost, tracing, *_ = result.stderr.splitlines()
    assert chosen.startswith("gdbleak: bursts: --probe breakpoint asks for that; ")
    assert (result.exit_code, "allocations/s: recording all would slow it" in cost) == (0, True)
    assert "tracing process" in tracing
