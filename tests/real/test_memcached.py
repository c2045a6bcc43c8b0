"""memcached: several threads, no symbols at all, with the C library's allocator and others."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest
from support.findings import (
    assert_gdb_sees_the_same,
    assert_nothing_lost,
    assert_nothing_stays,
    caller,
    counts,
    find_program,
    find_site,
    functions,
    line_of,
    trace_while,
)
from support.libraries import LIBRARIES, find_library
from support.servers import Client

pytestmark = pytest.mark.usefixtures("needs_ptrace")

PAGE = 1 << 20
LARGE = b"x" * 300_000  # three fill a page


@pytest.fixture
def start_memcached(home, start_server):
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    command = (find_program("memcached"), "-s", home / "socket", "-m", "64", "-t", "2", *user)

    def start(preload, **environment):
        environment["LD_PRELOAD"] = str(preload)
        return start_server(*command, env={**os.environ, **environment})

    return start


def pages(client):
    """Return how many pages memcached says that it holds."""
    client.send(b"stats slabs\r\n")
    answer = dict(line.split()[1:] for line in client.lines_until(b"END"))
    return int(answer[b"total_malloced"]) // PAGE


def store(key, value):
    """Return a command."""
    return b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value)


@pytest.mark.parametrize("allocator", ["glibc", *LIBRARIES])
def test_keys_that_are_never_deleted(cli, start_memcached, allocator):
    """memcached takes memory by pages of 1 MiB, and never gives one back."""
    server = start_memcached(find_library(LIBRARIES[allocator]) if allocator != "glibc" else "")
    with Client(server.path) as client:
        before = pages(client)

        def grow():
            for number in range(20):
                assert client.ask(store(b"key:%d" % number, LARGE)) == b"STORED"

        report = trace_while(cli, server.pid, grow)
        assert report["target"]["allocator"].startswith(allocator.split()[0])
        grown = pages(client) - before
        assert grown > 5
        site = report["sites"][0]
        assert counts(site) == (grown, grown, grown * PAGE)
        assert Path(site["frames"][0]["module"]).name == "memcached"
        assert {"event_base_loop", "start_thread", "clone3"} < set(functions(site))

        # A page has room for three, so that one of four needs another.
        more = b"".join(store(b"more:%d" % number, LARGE) for number in range(4))
        assert_gdb_sees_the_same(site, server.pid, lambda: client.send(more))
        assert [client.line() for _ in range(4)] == [b"STORED"] * 4


def test_library_that_leaks(cli, start_memcached, injected):
    server = start_memcached(injected, FORGET="1")

    def connect():
        for _ in range(40):
            with Client(server.path) as client:
                assert client.ask(b"get nothing\r\n") == b"END"

    report = trace_while(cli, server.pid, connect)
    site = find_site(report, "welcome", "accept4", "event_base_loop")
    assert caller(site) == ("welcome", "injected.c", line_of("injected.c", "the leak"))
    assert counts(site) == (40, 40, 40 * 1234)

    with assert_gdb_sees_the_same(site, server.pid, lambda: Client(server.path)) as client:
        assert client.ask(b"get nothing\r\n") == b"END"


def test_load_without_a_leak(cli, start_memcached, injected):
    server = start_memcached(injected)
    value = b"x" * 300

    def serve(count):
        """Let clients come and go; for anything else memcached has its memory already."""
        for _ in range(count):
            with Client(server.path) as client:
                assert client.ask(store(b"key", value)) == b"STORED"
                assert client.ask(b"get key\r\n") == b"VALUE key 0 300"
                assert client.lines_until(b"END") == [value]

    serve(20)  # each thread makes its buffers once
    report = trace_while(cli, server.pid, lambda: serve(300))
    assert_nothing_stays(report, at_least=300)
    [site] = [site for site in report["sites"] if site["function"] == "welcome"]
    assert counts(site) == (300, 0, 0)


@pytest.mark.parametrize("allocator", ["glibc", *LIBRARIES])
def test_load_loses_nothing(cli, start_memcached, injected, allocator):
    library = find_library(LIBRARIES[allocator]) if allocator != "glibc" else ""
    server = start_memcached(f"{library}:{injected}")  # which allocates for each client
    numbers = count()

    def serve():
        with Client(server.path) as client:
            assert client.ask(store(b"key:%d" % next(numbers), LARGE)) == b"STORED"
            assert client.ask(b"get nothing\r\n") == b"END"

    assert_nothing_lost(cli, server.pid, serve)
