"""PostgreSQL: one backend, whose memory the server itself can tell; functions exported."""

from __future__ import annotations

import subprocess
from itertools import count

import pytest
from support.findings import (
    assert_gdb_sees_the_same,
    assert_nothing_lost,
    assert_nothing_stays,
    counts,
    find_program,
    find_site,
    functions,
    trace_while,
)
from support.processes import Target
from support.servers import unprivileged

pytestmark = pytest.mark.usefixtures("needs_ptrace")

STATEMENTS = 100
QUERY = "select oid from pg_class where relname = $1"
PLANS = "select sum(total_bytes) from pg_backend_memory_contexts where name like 'CachedPlan%'"


class Session(Target):
    """A psql, whose statements must all succeed."""

    def send(self, statement):
        """Give a statement, without waiting for its answer."""
        self.tell(f"{statement};\n\\echo .")

    def answer(self):
        """Return the lines of the answer."""
        return list(iter(self.lines.next, "."))

    def query(self, statement):
        """Give a statement, and return the lines of its answer."""
        self.send(statement)
        return self.answer()

    def value(self, query):
        """Return the one number that a query yields."""
        [value] = self.query(query)
        return int(value)


@pytest.fixture
def session(home, start_server):
    """Return a connection to a server."""
    postgres = find_program("postgres", "/usr/lib/postgresql/*/bin/postgres").resolve()
    psql = find_program("psql")
    user = unprivileged("postgres")  # it refuses root
    initdb = [postgres.with_name("initdb"), "--no-sync", "--locale=C", "-A", "trust"]
    command = [*initdb, "-U", "tester", "-D", home / "data"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=home, **user)
    settings = ("listen_addresses=", "fsync=off", "autovacuum=off", "shared_buffers=16MB")
    options = ("-D", home / "data", "-k", home, *(f"--{setting}" for setting in settings))
    start_server(postgres, *options, path=home / ".s.PGSQL.5432", cwd=home, **user)
    connection = ("-h", home, "-p", "5432", "-U", "tester", "postgres")
    session = Session([psql, "-AtqX", "-v", "ON_ERROR_STOP=1", *connection])
    yield session
    session.end()


def test_prepared_statements_that_are_never_deallocated(cli, session):
    backend = session.value("select pg_backend_pid()")
    session.query(f"prepare first as {QUERY}")
    before = session.value(PLANS)

    def prepare():
        for number in range(STATEMENTS):
            assert session.query(f"prepare statement_{number} as {QUERY}") == []

    report = trace_while(cli, backend, prepare)
    grown = session.value(PLANS) - before
    plans = [
        site
        for site in report["sites"]
        if {"CreateCachedPlan", "CompleteCachedPlan"} & set(functions(site))
    ]
    assert {counts(site)[:2] for site in plans} == {(STATEMENTS, STATEMENTS)}
    assert sum(site["outstanding_bytes"] for site in plans) == grown

    outer = ("PrepareQuery", "standard_ProcessUtility", "PortalRun", "PostgresMain", "main")
    site = find_site(report, "AllocSetContextCreateInternal", "CreateCachedPlan", *outer)
    another = f"prepare another as {QUERY}"
    assert_gdb_sees_the_same(site, backend, lambda: session.send(another))
    assert session.answer() == []


def select(session):
    """Let a session do what sessions do all day."""
    name = "select relname from pg_class where relname = 'pg_class' order by relname"
    assert session.query(name) == ["pg_class"]
    assert session.value("select count(*) from generate_series(1, 9000)") == 9000


def test_queries_without_a_leak(cli, session):
    backend = session.value("select pg_backend_pid()")

    def load(count):
        for _ in range(count):
            select(session)

    load(5)  # its caches fill
    report = trace_while(cli, backend, lambda: load(100))
    assert_nothing_stays(report, at_least=200)


def test_load_loses_nothing(cli, session):
    backend = session.value("select pg_backend_pid()")
    numbers = count()

    def serve():
        select(session)
        assert session.query(f"prepare statement_{next(numbers)} as {QUERY}") == []

    assert_nothing_lost(cli, backend, serve)
