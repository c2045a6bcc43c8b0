"""nginx: a worker of another user than its master; no debug information, functions exported."""

from __future__ import annotations

import os
from contextlib import ExitStack

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

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {home}/pid;
error_log stderr warn;
events {{ worker_connections 128; }}
http {{
    access_log off;
    {folders}
    server {{
        listen unix:{home}/socket;
        location / {{ return 200 "hello\\n"; }}
    }}
}}
"""
FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
POOLS = ("--alloc", "ngx_create_pool:size=1", "--free", "ngx_destroy_pool:ptr=1")


@pytest.fixture
def start_nginx(home, start_server):
    program = find_program("nginx", "/usr/sbin/nginx")
    folders = " ".join(f"{name}_temp_path {home}/{name};" for name in FOLDERS)
    configuration = home / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(home=home, folders=folders))
    options = ("-p", home, "-e", "stderr", "-c", configuration)

    def start(**environment):
        server = start_server(program, *options, env={**os.environ, **environment})
        return server.find_child("nginx: worker process"), server.path

    return start


def get(client):
    """Fetch the page."""
    assert client.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b"HTTP/1.1 200 OK"
    assert b"Content-Length: 6" in client.lines_until(b"")
    assert client.line() == b"hello"


def visit(path, count=1):
    """Let clients come, fetch the page, and go."""
    for _ in range(count):
        with Client(path) as client:
            get(client)


def test_library_that_leaks_in_a_worker(cli, start_nginx, injected):
    worker, path = start_nginx(LD_PRELOAD=str(injected), FORGET="1")
    report = trace_while(cli, worker, lambda: visit(path, 40))
    names = ("welcome", "accept4", "ngx_event_accept", "ngx_process_events_and_timers")
    site = find_site(report, *names, "ngx_spawn_process", "ngx_master_process_cycle", "main")
    assert caller(site) == ("welcome", "injected.c", line_of("injected.c", "the leak"))
    assert counts(site) == (40, 40, 40 * 1234)

    with assert_gdb_sees_the_same(site, worker, lambda: Client(path)) as client:
        get(client)


def test_requests_that_never_end(cli, start_nginx):
    """The pools of docs/own-allocators.md: one of each connection, and one of its request."""
    worker, path = start_nginx()
    visit(path)
    with ExitStack() as connections:

        def hang():
            visit(path, 30)
            for _ in range(20):
                client = connections.enter_context(Client(path))
                get(client)
                client.send(b"GET / HTTP/1.1\r\nHost:")
            # The answer shows that all before was read, also that the 30 have gone.
            get(connections.enter_context(Client(path)))

        report = trace_while(cli, worker, hang, *POOLS)
        site = find_site(report, "ngx_event_accept", "ngx_process_events_and_timers", "main")
        assert site["function"] == "ngx_event_accept"
        assert counts(site) == (51, 21, 21 * 512)  # the default of connection_pool_size
        visit(path)


def test_load_without_a_leak(cli, start_nginx, injected):
    worker, path = start_nginx(LD_PRELOAD=str(injected))
    visit(path)

    def load():
        visit(path, 100)
        with Client(path) as client:
            for _ in range(200):
                get(client)

    report = trace_while(cli, worker, load)
    assert_nothing_stays(report, at_least=600)
    [site] = [site for site in report["sites"] if site["function"] == "welcome"]
    assert counts(site) == (101, 0, 0)


def test_load_loses_nothing(cli, start_nginx):
    worker, path = start_nginx()
    assert_nothing_lost(cli, worker, lambda: visit(path, 5))


def test_what_is_lost_in_a_worker(cli, start_nginx, injected):
    worker, path = start_nginx(LD_PRELOAD=str(injected), FORGET="1")
    report = trace_under_load(cli, worker, lambda: visit(path), "--probe", "inline")
    site = find_site(report, "welcome", "accept4", "ngx_event_accept", "main")
    assert is_lost(site), site["reach"]
    assert site["verdict"]["word"] == "leak"
