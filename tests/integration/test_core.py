"""Core files of real processes, by GDB and by the kernel: they tell what the process told."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from support.cores import NT_FILE, start_in, write_by_gdb, write_by_kernel
from support.processes import Target, state_of, wait_until

from gdbleak.elf.cache import ImageCache
from gdbleak.target.core import Core, is_core_file
from gdbleak.target.examined import ExaminedProcess, ThreadName
from gdbleak.target.proc import Mapping, read_mappings

pytestmark = pytest.mark.usefixtures("needs_ptrace")

NAMES = ("global", "function", "thread", "key", "stack", "large", "shared", "list")
BY_KERNEL, BY_GDB = "kernel", "gdb"


@contextmanager
def opened(path, **options):
    with ImageCache() as images, Core(str(path), images, **options) as core:
        yield core


class Written(NamedTuple):
    """A core, and what the process told before."""

    path: Path
    pid: int
    program: Path
    addresses: dict[str, int]
    mappings: list[Mapping]
    stacks: dict[int, tuple[int, int]]
    threads: list[ThreadName]
    heap: bytes


@pytest.fixture(scope="module")
def write_core(build_target, tmp_path_factory):
    """Return a function that returns a core of holders.c; each is written once."""
    written = {}

    def write(how, *arguments, coredump_filter=None):
        key = how, arguments, coredump_filter
        if key not in written:
            folder = tmp_path_factory.mktemp("core")
            program = shutil.copy(build_target("holders.c"), folder / "holders")
            written[key] = _write(how, folder, program, arguments, coredump_filter)
        return written[key]

    return write


def _write(how, folder, program, arguments, coredump_filter):
    target = (
        start_in(folder, program, *arguments)
        if how == BY_KERNEL
        else Target([program, *arguments], cwd=folder)
    )
    try:
        if how == BY_GDB:
            assert target.lines.next() == "ready"
        addresses = {name: int(target.ask(name), 16) for name in NAMES}
        wait_until(lambda: state_of(target.pid) == "S", "it waited")
        with ImageCache() as images, ExaminedProcess(target.pid, images) as process:
            mappings = process.read_mappings()
            stacks = process.find_stacks(process.find_waiting())
            threads = process.read_threads()
            [heap] = [line for line in mappings if line.path == "[heap]"]
            content = process.read(heap.start, heap.end - heap.start)
        path = (
            write_by_gdb(target, folder / "core")
            if how == BY_GDB
            else write_by_kernel(target, folder, coredump_filter)
        )
        return Written(path, target.pid, program, addresses, mappings, stacks, threads, content)
    finally:
        target.end()


@pytest.fixture(params=[BY_KERNEL, BY_GDB])
def written(request, write_core):
    return write_core(request.param)


def of_process(lines):
    """Return what is the process's own of its mappings: not what the kernel maps into each."""
    return [
        (line.start, line.end, line.permissions, line.offset, line.path)
        for line in lines
        if not line.path.startswith(("[vvar", "[vsyscall"))
    ]


def test_mappings_are_those_that_the_process_had(written):
    with opened(written.path) as core:
        assert is_core_file(str(written.path))
        found, expected = of_process(core.read_mappings()), of_process(written.mappings)
    by_place = {line[:2]: line for line in found}
    # GDB leaves out segments that nobody may access; one of them may be shared.
    assert [by_place.get(line[:2], line) for line in expected] == expected
    assert {line[:2] for line in found} <= {line[:2] for line in expected}


def test_threads_stacks_and_memory(written):
    with opened(written.path) as core:
        assert (core.pid, core.notes) == (written.pid, [])
        assert core.command.endswith("holders")
        assert [thread.id for thread in core.read_threads()] == [
            thread.id for thread in written.threads
        ]
        assert core.read_threads()[0].name == "holders"
        assert core.find_stacks(core.find_waiting()) == written.stacks
        [heap] = [line for line in core.read_mappings() if line.path == "[heap]"]
        assert core.read(heap.start, heap.end - heap.start) == written.heap
        assert core.read_registers().keys() == {thread.id for thread in written.threads}


def test_modules_and_what_is_in_their_files(written):
    """A core leaves out code: that comes from the file."""
    with opened(written.path) as core:
        modules = {module.name: module for module in core.read_modules()}
        program = modules["holders"]
        assert program.file == str(written.program)
        assert program.build_id
        assert any(name.startswith("libc.so") for name in modules)
        assert all(module.file for module in modules.values())
        for line in core.read_mappings():
            if line.executable and line.path == str(written.program):
                code = written.program.read_bytes()[line.offset :][: line.end - line.start]
                assert core.read(line.start, line.end - line.start).startswith(code)


def test_usage_is_what_was_touched(written):
    with opened(written.path) as core:
        usage = core.read_usage()
        lines = core.read_mappings()
        [heap] = [line for line in lines if line.path == "[heap]"]
        assert 0 < usage[heap.start].resident <= heap.end - heap.start
        [relocated] = [
            line
            for line in lines
            if line.path == str(written.program)
            and line.permissions == "r--p"
            and usage[line.start].dirty
        ]
        assert usage[relocated.start].dirty == relocated.end - relocated.start
        [code] = [line for line in lines if line.path == relocated.path and line.executable]
        assert usage[code.start] == (0, 0, 0)
        # The room that an arena has reserved, and the stacks of threads, were hardly touched.
        assert sum(each.resident for each in usage.values()) < 4 << 20


def test_signal_is_that_of_the_kernel(write_core):
    with opened(write_core(BY_KERNEL).path) as core:
        assert core.signal == "SIGSEGV"
    with opened(write_core(BY_GDB).path) as core:
        assert core.signal is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", [BY_KERNEL, BY_GDB])
def test_why_tells_what_it_tells_of_the_process(cli, write_core, how, name):
    core = write_core(how)
    result = cli.run("why", core.path, hex(core.addresses[name]), "--format", "json")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert (answer["is_core"], answer["pid"], answer["notes"]) == (True, core.pid, [])
    roots = {(way["holders"][-1]["root"], way["holders"][-1]["place"]) for way in answer["ways"]}
    pattern = {
        "global": r"server\+0x18",
        "function": "last",
        "thread": f"cache of thread {core.pid}",
        "key": f"what thread {core.pid} has of its own",
        "stack": r"thread \d+'s stack",
        "large": r"server\+0x20",
        "shared": r"zero\+0x10|shared memory\+0x10",
        "list": "list",
    }[name]
    assert any(re.fullmatch(pattern, root) for root, _ in roots), roots
    if name == "stack":
        assert any("wait_with_block (holders.c:" in place for _, place in roots if place)


def test_why_says_that_nothing_was_stopped_only_of_a_process(cli, write_core):
    core = write_core(BY_KERNEL)
    result = cli.run("why", core.path, hex(core.addresses["global"]))
    assert "stopped" not in result.stdout
    assert f"in the core of process {core.pid} (" in result.stderr


def test_thread_that_ran_has_registers_in_a_core(cli, write_core):
    """Of a process that runs they are not known."""
    core = write_core(BY_GDB, "runs")
    result = cli.run("why", core.path, hex(core.addresses["stack"]), "--format", "json")
    assert json.loads(result.stdout)["notes"] == []


@pytest.fixture
def moved(write_core, tmp_path):
    """Return a core whose program is not where it was, and that program."""
    core = write_core(BY_KERNEL)
    away = tmp_path / "program-of-then"
    core.program.rename(away)
    yield core, away
    away.rename(core.program)


def test_program_that_is_elsewhere(moved, cli):
    core, away = moved
    with opened(core.path) as opened_core:
        [note] = opened_core.notes
        assert str(core.program) in note
        assert "--sysroot" in note
        assert "--exe" in note
    with opened(core.path, exe=str(away)) as opened_core:
        assert opened_core.notes == []
    asked = ("why", core.path, hex(core.addresses["global"]))
    without = cli.run(*asked)
    assert f"gdbleak: Not the files that the process had mapped: {core.program};" in without.stderr
    assert "server" not in without.stdout
    assert "server+0x18" in cli.run(*asked, "--exe", away).stdout


def test_program_that_was_rebuilt(moved, build_target):
    core, _ = moved
    shutil.copy(build_target("heap.c"), core.program)
    try:
        with opened(core.path) as opened_core:
            [module] = [each for each in opened_core.read_modules() if each.name == "holders"]
            assert module.file is None
            assert "is another file; wanted is the one with build-id" in module.unreadable
    finally:
        core.program.unlink()


def test_wrong_program_is_refused(write_core, cli, build_target):
    core = write_core(BY_KERNEL)
    result = cli.run("why", core.path, "0x1000", "--exe", build_target("heap.c"))
    assert result.exit_code == 5
    assert "is another file; wanted is the one with build-id" in result.stderr
    assert f"try: give the program that ran there as {core.program}\n" in result.stderr


def test_files_of_another_machine(write_core, tmp_path):
    core = write_core(BY_KERNEL)
    with opened(core.path, sysroot=str(tmp_path)) as opened_core:
        modules = [each for each in opened_core.read_modules() if each.path != "[vdso]"]
        assert [each.file for each in modules] == [None] * len(modules)
    for module in modules:
        copy = tmp_path / module.path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module.path, copy)
    with opened(core.path, sysroot=str(tmp_path)) as opened_core:
        assert opened_core.notes == []
        files = [each.file for each in opened_core.read_modules() if each.path != "[vdso]"]
        assert files == [f"{tmp_path}{each.path}" for each in modules]


def test_without_the_list_of_files(written, tmp_path):
    """As of old kernels, and where the list is too long: the dynamic linker's list is left."""
    data = written.path.read_bytes()
    at = data.index(struct.pack("<I", NT_FILE) + b"CORE\0")
    copy = tmp_path / "core"
    copy.write_bytes(data[:at] + struct.pack("<I", 0x1234) + data[at + 4 :])
    with opened(written.path) as core, opened(copy) as other:
        expected = {each.name: (each.start, each.bias) for each in core.read_modules()}
        # Their paths are those by which they were loaded, which may be links.
        assert {each.name: (each.start, each.bias) for each in other.read_modules()} == expected
        heaps = [
            [m.start for m in each.read_mappings() if m.path == "[heap]"] for each in (core, other)
        ]
        assert heaps[0] == heaps[1]


def test_core_without_memory(write_core, cli):
    core = write_core(BY_KERNEL, coredump_filter=0x10)
    result = cli.run("why", core.path, hex(core.addresses["global"]))
    assert result.exit_code == 5
    assert f"{core.path} was written without the memory of the process\n" in result.stderr
    assert "try: run `echo 0x37 > /proc/self/coredump_filter`" in result.stderr


def test_core_with_everything(write_core):
    """Code and read-only data are in it too: no file is needed."""
    core = write_core(BY_KERNEL, coredump_filter=0x7F)
    with opened(core.path) as opened_core:
        assert opened_core.notes == []
        for line in opened_core.read_mappings():
            if line.executable and line.inode:
                assert all(page.is_of_file for page in opened_core.find_pages(line.start, line.end))


def test_core_that_was_cut_off(write_core, cli, tmp_path):
    core = write_core(BY_KERNEL)
    with opened(core.path) as whole:
        [heap] = [line for line in whole.read_mappings() if line.path == "[heap]"]
        begin = whole.read(heap.start, 4096)
    copy = tmp_path / "core"
    copy.write_bytes(core.path.read_bytes()[: core.path.stat().st_size // 2])
    with opened(copy) as half:
        assert half.read(heap.start, 4096) == begin
        [note] = [note for note in half.notes if "truncated" in note]
        assert "ulimit -c" in note
    result = cli.run("why", copy, hex(core.addresses["function"]))
    assert "gdbleak: The core is truncated" in result.stderr


@pytest.mark.parametrize("how", [BY_KERNEL, BY_GDB])
def test_variables_that_were_cut_off_are_not_taken_from_the_file(write_core, tmp_path, how):
    """What the program has written since is not there."""
    core = write_core(how)
    with opened(core.path) as whole:
        [line] = [
            line
            for line in whole.read_mappings()
            if line.path == str(core.program) and line.permissions == "rw-p"
        ]
        content = whole.read(line.start, line.end - line.start)
    data = core.path.read_bytes()
    copy = tmp_path / "core"
    copy.write_bytes(data[: data.index(content) + 100])
    with opened(copy) as half:
        assert half.read(line.start, 4096) == content[:100]


def test_compressed_core(cli, tmp_path):
    packed = tmp_path / "core.gz"
    packed.write_bytes(b"\x1f\x8b" + bytes(100))
    result = cli.run("why", packed, "0x1000")
    assert (result.exit_code, result.stdout) == (5, "")
    assert f"gdbleak: {packed} is compressed\n" in result.stderr
    assert f"try: run `gunzip {packed}`, or `coredumpctl dump PID -o core`" in result.stderr


def test_options_for_cores_do_not_fit_a_process(cli):
    result = cli.run("why", os.getpid(), "0x1000", "--sysroot", "/")
    assert result.exit_code == 2
    assert "--exe and --sysroot are for core files" in result.stderr


def test_name_of_a_process_goes_before_a_file(cli):
    """A file that is no core has to be given with a folder, or nobody would mean it."""
    result = cli.run("why", "./nothing-here", "0x1000")
    assert result.exit_code == 5
    assert "cannot read ./nothing-here" in result.stderr
    result = cli.run("why", "nothing-here", "0x1000")
    assert result.exit_code == 3
    assert "no process is called nothing-here" in result.stderr


def test_a_program_that_has_mapped_itself_once_more(build_target, start_target, tmp_path):
    """The heap comes behind where it runs, not behind what it has mapped."""
    target = start_target(build_target("maps_itself.c"))
    heap = [each.start for each in read_mappings(target.pid) if each.path == "[heap]"]
    with opened(write_by_gdb(target, tmp_path / "core")) as core:
        assert [each.start for each in core.read_mappings() if each.path == "[heap]"] == heap
