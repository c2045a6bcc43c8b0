"""What /proc says, parsed; names in it are chosen by whoever runs a process."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest
from support.processes import wait_until

from gdbleak.target.proc import (
    Mapping,
    Memory,
    has_shadow_stack,
    iter_ancestors,
    list_threads,
    parse_mapping,
    possible_names,
    read_mappings,
    read_runnable_ns,
    read_start,
    read_state,
    read_status,
    resident_set,
    tells_of_shadow_stack,
)

PREFIX = "7f00-7f10 r-xp 00001000 08:01 42"
GONE = 4_194_305
"""Above the largest PID the kernel gives."""


@pytest.mark.parametrize(
    ("rest", "path", "deleted"),
    [
        ("                      /lib/libc.so.6", "/lib/libc.so.6", False),
        ("                      /srv/my program", "/srv/my program", False),
        ("   /srv/two  blanks ", "/srv/two  blanks ", False),
        ("   /srv/old (deleted)", "/srv/old", True),
        ("   /srv/a (deleted) b", "/srv/a (deleted) b", False),
        (r"   /srv/new\012line", r"/srv/new\012line", False),
        (r"   /srv/back\slash\040", r"/srv/back\slash\040", False),
        ("   [stack]", "[stack]", False),
        ("", "", False),
    ],
)
def test_parse_mapping(rest, path, deleted):
    expected = Mapping(0x7F00, 0x7F10, "r-xp", 0x1000, "08:01", 42, path, deleted)
    assert parse_mapping(PREFIX + rest + "\n") == expected


@pytest.mark.parametrize(("permissions", "executable"), [("r-xp", True), ("rw-p", False)])
def test_executable(permissions, executable):
    line = PREFIX.replace("r-xp", permissions)
    assert parse_mapping(line).executable is executable


@pytest.fixture
def start(tmp_path):
    """Return a function that starts `cat` under a name of its own."""
    started = []

    def start(name):
        path = os.fsencode(tmp_path) + b"/" + name
        shutil.copy(shutil.which("cat") or "", path)
        process = subprocess.Popen([path], stdin=subprocess.PIPE)
        started.append(process)
        wait_until(lambda: read_state(process.pid) == "S", "it waits for input")
        return process.pid

    yield start
    for process in started:
        process.communicate()


@pytest.mark.parametrize(
    "name", [b"a b", b"new\nline", b"carriage\rreturn", b"\xff\xfe", b") Z (", b"form\x0cfeed"]
)
def test_odd_name_of_a_program(start, tmp_path, name):
    pid = start(name)
    path = str(tmp_path / os.fsdecode(name))
    assert any(path in possible_names(mapping.path) for mapping in read_mappings(pid))
    assert read_state(pid) == "S"
    assert read_status(pid)["PPid"] == str(os.getpid())


@pytest.mark.parametrize(
    ("lines", "has_one"),
    [
        ("x86_Thread_features:\tshstk \nx86_Thread_features_locked:\tshstk wrss \n", True),
        ("x86_Thread_features:\tshstk wrss \n", True),
        ("x86_Thread_features:\t\nx86_Thread_features_locked:\tshstk \n", False),
        ("Name:\tshstk\nState:\tS (sleeping)\n", False),
    ],
)
def test_shadow_stack(lines, has_one):
    assert tells_of_shadow_stack(lines) is has_one


def test_shadow_stacks_of_a_process():
    own = Path("/proc/self/status").read_text()
    assert has_shadow_stack(os.getpid()) is tells_of_shadow_stack(own)
    assert not has_shadow_stack(GONE)


def test_own_process():
    pid = os.getpid()
    assert read_state(pid) == "R"
    assert pid in list_threads(pid)
    assert 1 << 20 < (resident_set(pid) or 0) < 1 << 40
    assert next(iter(iter_ancestors(pid))) == os.getppid()
    assert list(iter_ancestors(pid))[-1] in (0, 1)
    starts = [mapping.start for mapping in read_mappings(pid)]
    assert starts == sorted(starts) != []


def test_process_that_is_gone():
    assert (read_mappings(GONE), list_threads(GONE)) == ([], [])
    assert (read_state(GONE), read_start(GONE), resident_set(GONE)) == (None, None, None)
    assert read_runnable_ns(GONE) == 0


def test_read_start():
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    started_s = psutil.boot_time() + (read_start(os.getpid()) or 0) / ticks_per_s
    assert started_s == pytest.approx(psutil.Process().create_time(), abs=2)


def test_time_in_which_a_process_could_run():
    start_s = psutil.Process().create_time()
    first = threading.main_thread().ident
    assert first
    ran_s = time.clock_gettime(time.pthread_getcpuclockid(first))
    runnable_s = read_runnable_ns(os.getpid()) / 1e9
    # 0 where the kernel does not count it; else up to the last tick of its clock.
    assert runnable_s == 0 or ran_s - 0.1 < runnable_s < time.time() - start_s + 2


def test_memory():
    libc = next(m for m in read_mappings(os.getpid()) if "libc" in m.path and not m.offset)
    with Memory(os.getpid()) as memory:
        assert memory.read(libc.start, 4) == b"\x7fELF"
        assert memory.read(0, 4) == memory.read(1 << 63, 4) == memory.read(1 << 64, 4) == b""
        assert memory.write(libc.start, b"x") is False, "it was opened to be read"


def test_memory_of_no_process():
    with pytest.raises(FileNotFoundError):
        Memory(GONE)
