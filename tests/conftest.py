"""Fixtures: programs to trace, and gdbleak to trace them with.

Whatever a test does, its targets must stand as they stood before, and nothing may be left behind.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.box import Box
from support.cli import Cli
from support.fuzz import register_profiles
from support.gdb_server import GdbServer
from support.inline import visitor_in
from support.processes import TRACER, Target, lives, wait_until
from support.servers import Server
from support.stuck import Stuck
from support.torture import PROPERTY, Crowd, Tally, show, start_crowd
from support.workers import Dealer

from gdbleak.injection.visits import GdbVisitor

TARGETS = Path(__file__).parent / "targets"
_PR_SET_CHILD_SUBREAPER = 36

register_profiles()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow ones: one of these at the end would keep nobody but itself busy."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Dealer | None:
    """Deal out the tests as suits them, unless `--dist` asks for something else."""
    return Dealer(config, log) if config.getvalue("dist") == "load" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the tests have done to processes that record themselves."""
    reports = (report for each in terminalreporter.stats.values() for report in each)
    show(reports, terminalreporter.write_line)


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Adopt every descendant whose parent dies, so that at the end all of them can be counted."""
    assert ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    wait_until(lambda: living_descendants() == [], "every process that was started had ended")


@pytest.fixture(scope="session", autouse=True)
def signals_as_from_a_terminal() -> None:
    """Let what is started here heed the signals that nohup or a shell may have us ignore."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def living_descendants() -> list[psutil.Process]:
    """Return every process that came from this one and still runs."""
    return [process for process in psutil.Process().children(recursive=True) if lives(process)]


@pytest.fixture(scope="session")
def build_target(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that compiles a program of tests/targets, each only once.

    The processes of `pytest -n` share what they compile.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "targets"
    folder.mkdir(exist_ok=True)

    def build(source: str, *flags: str | Path, name: str = "") -> Path:
        name = name or Path(source).stem
        words = repr((source, *map(str, flags), name))
        output = folder / hashlib.sha256(words.encode()).hexdigest()[:16] / name
        output.parent.mkdir(exist_ok=True)
        with output.with_name("lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not output.exists():
                compiler = "c++" if source.endswith(".cpp") else "cc"
                command = [compiler, "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"]
                subprocess.run([*command, "-o", output, TARGETS / source, *flags], check=True)
        return output

    return build


@pytest.fixture
def home() -> Iterator[Path]:
    """Return a folder of a short name that any user may enter, as a server's may have to."""
    with tempfile.TemporaryDirectory(prefix="gdbleak-") as path:
        Path(path).chmod(0o777)
        yield Path(path)


@pytest.fixture
def targets(home: Path) -> Iterator[list[Target]]:
    """Return a list of programs that must stand as they stood when the test is over."""
    del home  # named only for the order: their files go after they have
    targets: list[Target] = []
    yield targets
    try:
        for target in targets:
            if target.process.poll() is None:
                target.assert_as_found()
    finally:
        for target in reversed(targets):  # a tracer before the target that it holds
            target.end()


@pytest.fixture
def start_target(targets: list[Target]) -> Callable[..., Target]:
    """Return a function that starts a program which says "ready"."""

    def start(*command: str | Path) -> Target:
        target = Target(command)
        targets.append(target)
        assert target.lines.next() == "ready"
        return target

    return start


@pytest.fixture
def gather(
    targets: list[Target], build_target: Callable[..., Path], tmp_path: Path
) -> Callable[[Crowd], Target]:
    """Return a function that starts the threads of a crowd."""

    def gather(crowd: Crowd) -> Target:
        target = start_crowd(crowd, build_target, tmp_path)
        targets.append(target)
        assert target.lines.next() == "ready"
        return target

    return gather


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[GdbVisitor]:
    """Return a GDB that is ready to visit processes."""
    with visitor_in(tmp_path / "visits") as visitor:
        yield visitor


@pytest.fixture
def begin_tally(record_property: Callable[[str, object], None]) -> Iterator[Callable[..., Tally]]:
    """Return a function that begins a tally; it becomes a row of the table at the end."""
    tallies = []

    def begin(what: str, how: str) -> Tally:
        tallies.append(Tally(what, how))
        return tallies[-1]

    yield begin
    for tally in tallies:
        record_property(PROPERTY, tally.to_json())


@pytest.fixture
def puppet(build_target: Callable[..., Path], start_target: Callable[..., Target]) -> Target:
    """Return a program that allocates when it is told to, and sleeps meanwhile."""
    return start_target(build_target("puppet.c"))


@pytest.fixture
def vforks(build_target: Callable[..., Path], start_target: Callable[..., Target]) -> Target:
    """Return a program whose threads wait in the kernel when they are told to."""
    return start_target(build_target("vforks.c"))


@pytest.fixture
def stuck(vforks: Target, home: Path) -> Iterator[Stuck]:
    """Return what lets a thread of that program wait."""
    (home / "mount").mkdir()
    stuck = Stuck(vforks, home / "mount")
    yield stuck
    stuck.close()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of journals, which is the test's own."""
    folder = tmp_path / "state"
    monkeypatch.setenv("GDBLEAK_STATE", str(folder))
    return folder


@pytest.fixture
def start_server(targets: list[Target], home: Path) -> Callable[..., Server]:
    """Return a function that starts a server, and returns once it listens at home/socket."""

    def start(*command: str | Path, path: Path = home / "socket", **options: Any) -> Server:
        server = Server(command, path, **options)
        targets.append(server)
        server.wait_until_it_listens()
        return server

    return start


@pytest.fixture
def injected(build_target: Callable[..., Path], home: Path) -> Path:
    """Return a library for LD_PRELOAD: see targets/injected.c."""
    library = build_target("injected.c", "-shared", "-fPIC", name="libinjected.so")
    return Path(shutil.copy(library, home))


@pytest.fixture
def cli(tmp_path: Path, targets: list[Target]) -> Iterator[Cli]:
    """Return the command line; what it runs ends before its targets are looked at."""
    del targets  # named only for the order in which the two are taken down
    tmpdir = tmp_path / "tmpdir"
    tmpdir.mkdir()
    cli = Cli(tmpdir)
    yield cli
    cli.close()


@pytest.fixture
def serve(targets: list[Target]) -> Iterator[Callable[..., GdbServer]]:
    """Return a function that starts a gdbserver, which is ended before its target is looked at."""
    del targets
    with ExitStack() as servers:

        def start(*arguments: object) -> GdbServer:
            server = GdbServer(*arguments)
            servers.callback(server.end)
            return server

        yield start


@pytest.fixture
def box(tmp_path: Path, cli: Cli) -> Iterator[Box]:
    """Return a machine without gdbleak, whose GDB is ended before its target is looked at."""
    box = Box(tmp_path, cli)
    yield box
    box.end()


@pytest.fixture(scope="session")
def needs_ptrace() -> None:
    """Skip where the kernel lets nobody trace a process of the same user."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as victim:
        command = [*TRACER, str(victim.pid)]
        attempt = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        victim.kill()
    if attempt.returncode != 0:
        pytest.skip(f"this host lets nobody trace a process: {attempt.stderr.strip()}")
    assert shutil.which("gdb"), "install gdb"
