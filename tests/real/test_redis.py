"""redis: jemalloc, no debug information, its functions exported."""

from __future__ import annotations

import os
from itertools import count

import pytest
from support.findings import (
    assert_gdb_sees_the_same,
    assert_nothing_lost,
    assert_nothing_stays,
    caller,
    counts,
    find_program,
    find_site,
    is_lost,
    line_of,
    trace_under_load,
    trace_while,
)
from support.servers import Client

pytestmark = pytest.mark.usefixtures("needs_ptrace")

KEYS = 200
VALUE = b"x" * 100


def command(*words):
    """Return a command as clients send it."""
    parts = (b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n%s" % (len(words), b"".join(parts))


@pytest.fixture
def start_redis(home, start_server):
    program = home / "redis-server"  # what the program does depends on its name
    program.symlink_to(find_program("redis-server", "redis-check-rdb"))
    options = ("--port", 0, "--unixsocket", home / "socket", "--dir", home, "--save", "")
    # On a busy host it would keep some of the commands.
    words = [*map(str, options), "--slowlog-log-slower-than", "-1"]

    def start(**environment):
        return start_server(program, *words, env={**os.environ, **environment})

    return start


def test_keys_that_are_never_deleted(cli, start_redis):
    server = start_redis()
    with Client(server.path) as client:
        assert client.ask(command(b"PING")) == b"+PONG"

        def store():
            for number in range(KEYS):
                assert client.ask(command(b"SET", b"key:%06d" % number, VALUE)) == b"+OK"

        report = trace_while(cli, server.pid, store)
        assert report["target"]["allocator"].startswith("jemalloc 5.")
        entries = find_site(report, "zmalloc", "dictAddRaw", "dbAdd", "setCommand", "aeMain")
        assert entries["function"] == "dictAddRaw"
        assert counts(entries) == (KEYS, KEYS, KEYS * 24)
        names = find_site(report, "_sdsnewlen", "dbAdd", "setCommand", "call", "aeMain", "main")
        assert counts(names) == (KEYS, KEYS, KEYS * len(b"\0key:000000\0"))

        more = command(b"SET", b"one more", VALUE)
        assert_gdb_sees_the_same(entries, server.pid, lambda: client.send(more))
        assert client.line() == b"+OK"
        assert client.ask(command(b"DBSIZE")) == b":%d" % (KEYS + 1)


def test_library_that_leaks(cli, start_redis, injected):
    server = start_redis(LD_PRELOAD=str(injected), FORGET="1")

    def connect():
        for _ in range(40):
            with Client(server.path) as client:
                assert client.ask(command(b"PING")) == b"+PONG"

    report = trace_while(cli, server.pid, connect)
    site = find_site(report, "welcome", "accept4", "anetUnixAccept", "acceptUnixHandler", "main")
    assert caller(site) == ("welcome", "injected.c", line_of("injected.c", "the leak"))
    assert counts(site) == (40, 40, 40 * 1234)

    with assert_gdb_sees_the_same(site, server.pid, lambda: Client(server.path)) as client:
        assert client.ask(command(b"PING")) == b"+PONG"


def test_load_without_a_leak(cli, start_redis, injected):
    server = start_redis(LD_PRELOAD=str(injected))
    with Client(server.path) as client:
        assert client.ask(command(b"SET", b"key", VALUE)) == b"+OK"

        def load():
            for _ in range(300):
                assert client.ask(command(b"GET", b"key")) == b"$100"
                assert client.line() == VALUE
            for _ in range(20):
                with Client(server.path) as passing:
                    assert passing.ask(command(b"SET", b"key", VALUE)) == b"+OK"

        report = trace_while(cli, server.pid, load)
        assert_nothing_stays(report, at_least=600)
        [site] = [site for site in report["sites"] if site["function"] == "welcome"]
        assert counts(site) == (20, 0, 0)


def test_load_loses_nothing(cli, start_redis):
    server = start_redis()
    numbers = count()
    with Client(server.path) as client:

        def serve():
            number = b"%d" % (next(numbers) % 5000)
            assert client.ask(command(b"SET", b"key:" + number, VALUE)) == b"+OK"
            assert client.ask(command(b"HSET", b"hash", number, VALUE)) in (b":0", b":1")
            assert client.ask(command(b"ZADD", b"set", number, number)) in (b":0", b":1")
            assert client.ask(command(b"RPUSH", b"list", number))[:1] == b":"
            if number[-1:] == b"7":
                assert client.ask(command(b"DEL", b"list", b"key:" + number))[:1] == b":"
                with Client(server.path) as passing:
                    assert passing.ask(command(b"PING")) == b"+PONG"

        assert_nothing_lost(cli, server.pid, serve)


def test_what_is_lost_and_what_is_kept(cli, start_redis, injected):
    server = start_redis(LD_PRELOAD=str(injected), FORGET="1")
    numbers = count()

    def serve():
        with Client(server.path) as client:
            for _ in range(2):
                name = b"key:%d" % next(numbers)
                assert client.ask(command(b"SET", name, VALUE)) == b"+OK"

    report = trace_under_load(cli, server.pid, serve, "--probe", "inline")
    leak = find_site(report, "welcome", "accept4", "anetUnixAccept", "acceptUnixHandler", "main")
    assert is_lost(leak), leak["reach"]
    assert leak["verdict"]["word"] == "leak"
    for names in (("zmalloc", "dictAddRaw"), ("_sdsnewlen", "dbAdd")):
        kept = find_site(report, *names, "setCommand", "call", "aeMain", "main")["reach"]
        assert (kept["lost"], kept["lost_with"], kept["unknown"]) == (0, 0, 0)
        assert kept["held"] >= 500
        assert kept["holders"]
