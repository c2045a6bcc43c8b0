"""Allocators of a program's own are recorded when their functions are named."""

from __future__ import annotations

import signal
import subprocess

import pytest

pytestmark = pytest.mark.usefixtures("needs_ptrace")

GET = ("--alloc", "pool_get:size=2", "--free", "pool_put:ptr=1")
MAKE = ("--alloc", "pool_make:count=1,size=2,result=3")
RESIZE = ("--alloc", "pool_resize:ptr=1,size=2")


@pytest.fixture
def pools(build_target, start_target):
    return start_target(build_target("pools.c", "-fno-optimize-sibling-calls"))


def trace_round(cli, target, *options):
    """Return what became of the blocks of each function that used a pool, and the report."""
    trace = cli.start_trace(target.pid, *options)
    assert target.ask("go") == "done"
    trace.send(signal.SIGINT)
    report = trace.finish().report
    assert report["verification"]["ok"] is True
    keys = ("allocated_count", "freed_count", "outstanding_bytes")
    users: dict[str, tuple[int, ...]] = {}
    for site in report["sites"]:
        [user] = [f["function"] for f in site["frames"] if f["function"].startswith("use_")]
        before = users.get(user, (0, 0, 0))
        users[user] = tuple(sum(pair) for pair in zip(before, map(site.get, keys)))
    return users, report


def test_named_functions(cli, pools):
    users, report = trace_round(cli, pools, *GET, *MAKE, *RESIZE)
    assert users == {
        "use_get": (12, 4, 8 * 10),
        "use_make": (12, 6, 6 * 21),
        "use_resize": (1, 0, 100),
        "use_prefix": (2, 1, 200),
    }
    assert (report["window"]["missed_frees"], report["window"]["lost_events"]) == (0, 0)
    assert report["target"]["allocator"] == "pools"


def test_prefix(cli, pools):
    users, _ = trace_round(cli, pools, "--symbols-prefix", "my_")
    assert users == {"use_prefix": (2, 1, 200)}


def test_object(cli, pools):
    library = ("--object", "libc.so.6")
    assert trace_round(cli, pools, *library)[0] == {}

    result = cli.run("trace", pools.pid, *library, *GET)
    assert result.exit_code == 3
    assert "no module of the process defines the function pool_get" in result.stderr


@pytest.mark.parametrize(
    ("options", "exit_code", "words"),
    [
        (["--alloc", "pool_gett:size=2"], 3, "defines the function pool_gett"),
        (["--symbols-prefix", "your_"], 3, "defines the function your_malloc"),
        (["--object", "libother.so"], 3, "no program or library libother.so mapped"),
        (["--alloc", "pool_get"], 2, "which argument is the size"),
        (["--free", "pool_put"], 2, "which argument is the block"),
        (["--alloc", "pool_get:size=7"], 2, "from 1 to 6"),
    ],
)
def test_what_makes_no_sense(cli, pools, options, exit_code, words):
    result = cli.run("trace", pools.pid, *options)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    first, second = result.stderr.splitlines()
    assert words in first
    assert second.startswith("  try: ")


def test_slices_of_glib(cli, build_target, start_target):
    """The example of docs/own-allocators.md."""
    found = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "glib-2.0"], capture_output=True, text=True
    )
    if found.returncode != 0:
        pytest.skip("GLib is not installed for development: run .ci/setup test")
    target = start_target(build_target("slices.c", *found.stdout.split()))
    slices = ("--alloc", "g_slice_alloc:size=1", "--free", "g_slice_free1:ptr=2")
    trace = cli.start_trace(target.pid, *slices)
    assert target.ask("go") == "done"
    trace.send(signal.SIGINT)
    [site] = trace.finish().report["sites"]
    assert site["function"] == "keep_some"
    assert (site["allocated_count"], site["freed_count"]) == (20, 15)
    assert site["outstanding_bytes"] == 5 * 48
