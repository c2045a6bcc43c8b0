"""A server with Boost.Asio and one in Rust, whose sessions own themselves once they subscribe."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest
from support.findings import (
    TARGETS,
    assert_gdb_sees_the_same,
    assert_nothing_lost,
    assert_nothing_stays,
    line_of,
    trace_while,
)
from support.libraries import LIBRARIES, find_library
from support.servers import Client

from gdbleak.text.names import qualified

pytestmark = pytest.mark.usefixtures("needs_ptrace")

BOOST = {"-O0": ["-O0"], "-O2": ["-O2"], "-O3 -fcf-protection": ["-O3", "-fcf-protection"]}
RUST = {"-O -g": ["-O", "-g"], "-g": ["-g"]}
NORMAL, LEAKING = 30, 40


@pytest.fixture
def build_boost(build_target):
    """Return a function that compiles the server with Boost."""
    header = "#include <boost/asio.hpp>\n"
    command = ["c++", "-x", "c++", "-E", "-"]
    if subprocess.run(command, input=header, text=True, capture_output=True).returncode != 0:
        pytest.skip("Boost is not installed for development: run .ci/setup real")
    return lambda flags: build_target("boost_server.cpp", *flags)


@pytest.fixture
def build_rust(tmp_path):
    """Return a function that compiles the server in Rust."""
    if not shutil.which("rustc"):
        pytest.skip("there is no Rust compiler (rustc): run .ci/setup real")

    def build(flags):
        output = tmp_path / "rust_server"
        subprocess.run(["rustc", *flags, "-o", output, TARGETS / "rust_server.rs"], check=True)
        return output

    return build


def visit(path, *requests):
    """Let a client come, ask, and go."""
    with Client(path) as client:
        for request in requests:
            expected = b"ok" if request == b"subscribe" else request[len("get ") :]
            assert client.ask(request + b"\n") == expected


def innermost_line(site, source):
    """Return the line of the innermost frame that lies in a source file."""
    lines = (f["line"] for f in site["frames"] if Path(f["file"] or "").name == source)
    return next(lines, None)


def assert_leak_is_found(cli, server, source, function):
    visit(server.path, b"get ready")

    def serve():
        for _ in range(NORMAL):
            visit(server.path, b"get one", b"get other")
        for _ in range(LEAKING):
            visit(server.path, b"get one", b"subscribe")

    report = trace_while(cli, server.pid, serve)
    line = line_of(source, "the leak")
    [site] = [
        site
        for site in report["sites"]
        if innermost_line(site, source) == line and site["outstanding_count"] >= LEAKING
    ]
    assert qualified(site["function"]) == function
    assert (site["allocated_count"], site["outstanding_count"]) == (NORMAL + LEAKING, LEAKING)

    # The session is made when a client comes, so GDB has to be there before.
    with assert_gdb_sees_the_same(site, server.pid, lambda: Client(server.path)) as client:
        assert client.ask(b"get well\n") == b"well"


def assert_load_leaves_nothing(cli, server):
    def serve(count):
        for number in range(count):
            visit(server.path, b"get %0200d" % number, b"get other")

    serve(3)
    report = trace_while(cli, server.pid, lambda: serve(150))
    assert_nothing_stays(report, at_least=600)


def assert_load_loses_nothing(cli, server):
    serve = partial(visit, server.path, b"get %0200d" % 1, b"get other")
    assert_nothing_lost(cli, server.pid, serve)


@pytest.mark.parametrize(
    ("flags", "allocator"),
    [*((flags, "glibc") for flags in BOOST), *(("-O2", library) for library in LIBRARIES)],
)
def test_boost(cli, home, build_boost, start_server, flags, allocator):
    program = build_boost(BOOST[flags])
    preload = "" if allocator == "glibc" else find_library(LIBRARIES[allocator])
    server = start_server(program, home / "socket", env={**os.environ, "LD_PRELOAD": preload})
    assert_leak_is_found(cli, server, "boost_server.cpp", "Server::open_session")


def test_boost_without_a_leak(cli, home, build_boost, start_server):
    server = start_server(build_boost(BOOST["-O2"]), home / "socket")
    assert_load_leaves_nothing(cli, server)


@pytest.mark.parametrize("allocator", ["glibc", *LIBRARIES])
def test_boost_loses_nothing(cli, home, build_boost, start_server, allocator):
    program = build_boost(BOOST["-O2"])
    preload = "" if allocator == "glibc" else find_library(LIBRARIES[allocator])
    server = start_server(program, home / "socket", env={**os.environ, "LD_PRELOAD": preload})
    assert_load_loses_nothing(cli, server)


@pytest.mark.parametrize("flags", RUST)
def test_rust(cli, home, build_rust, start_server, flags):
    server = start_server(build_rust(RUST[flags]), home / "socket")
    assert_leak_is_found(cli, server, "rust_server.rs", "rust_server::open_session")


def test_rust_without_a_leak(cli, home, build_rust, start_server):
    server = start_server(build_rust(RUST["-O -g"]), home / "socket")
    assert_load_leaves_nothing(cli, server)


def test_rust_loses_nothing(cli, home, build_rust, start_server):
    assert_load_loses_nothing(cli, start_server(build_rust(RUST["-O -g"]), home / "socket"))
