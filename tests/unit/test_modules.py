"""Modules by address, and the files of real processes, deleted and replaced ones included."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.processes import wait_until

from gdbleak.effort import Effort
from gdbleak.elf.image import ElfImage
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.target.modules import ModuleReader, find_again
from gdbleak.target.mounts import find_stallers
from gdbleak.target.proc import Memory, read_mappings, read_state

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can read map_files")


def module(name, start, end, build_id="aa"):
    return Module(f"/lib/{name}", start, end, start, build_id, None)


A, B = module("a", 0x1000, 0x3000), module("b", 0x3000, 0x4000)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (0, None),
        (0xFFF, None),
        (0x1000, A),
        (0x2FFF, A),
        (0x3000, B),
        (0x3FFF, B),
        (0x4000, None),
        (1 << 64, None),
    ],
)
def test_find(address, found):
    assert ModuleMap([B, A]).find(address) == found
    assert ModuleMap([]).find(address) is None


@pytest.mark.parametrize(
    ("before", "after", "merged"),
    [
        ([], [], []),
        ([A], [], [A]),
        ([A], [A], [A]),
        ([], [A], [A]),
        ([A], [B], [A, B]),
        ([A], [A, B], [A, B]),
        # Loaded in the window where another was: neither is sure.
        ([A], [module("c", 0x2000, 0x5000)], []),
        ([A, B], [module("c", 0x2000, 0x2800)], [B]),
        ([A, B], [module("c", 0x2800, 0x3800)], []),
        ([A], [module("a", 0x2000, 0x4000)], []),
        # It has a mapping more now: what was seen first stays.
        ([A], [module("a", 0x1000, 0x2000)], [A]),
    ],
)
def test_merge(before, after, merged):
    assert list(ModuleMap(before).merge(ModuleMap(after))) == merged


def test_name_and_json():
    assert (A.name, module("", 0, 1).name) == ("a", "")
    assert Module.from_json(A.to_json()) == A


@pytest.fixture
def program(build_target, tmp_path):
    """Return the path of a copy of a program that waits for input, and may be changed."""
    return Path(shutil.copy(build_target("puppet.c"), tmp_path / "puppet"))


@pytest.fixture
def read():
    """Return a function that reads the modules of a process."""
    readers = []

    def read(pid):
        with Memory(pid) as memory:
            readers.append(ModuleReader(pid, memory))
            return {m.path: m for m in readers[-1].read(read_mappings(pid))}

    yield read
    for reader in readers:
        reader.close()


@pytest.fixture
def start():
    """Return a function that starts a program, which may then be deleted."""
    started = []

    def start(*command, **options):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
        )
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process.pid

    yield start
    for process in started:
        process.communicate()


def build_id_of(path):
    return re.search(
        r"Build ID: (\w+)",
        subprocess.run(["readelf", "-n", path], capture_output=True, text=True).stdout,
    )[1]


def test_modules_of_a_process(program, read, start):
    modules = read(start(program))
    module = modules[str(program)]
    assert (module.build_id, module.file) == (build_id_of(program), str(program))
    libc = next(m for m in modules.values() if m.name.startswith("libc"))
    assert libc.unreadable is None
    assert libc.bias == libc.start
    assert all(m.start < m.end for m in modules.values())
    assert [path for path in modules if path.startswith("[")] in ([], ["[vdso]"])


def test_code_that_the_kernel_maps_is_copied(program, read, start):
    pid = start(program)
    module = read(pid).get("[vdso]")
    if module is None:
        pytest.skip("this kernel maps no vdso")
    image = ElfImage(module.file)
    assert image.find_function("__vdso_clock_gettime")
    assert image.build_id == module.build_id
    with Memory(pid) as memory:
        for segment in image.segments:
            found = memory.read(segment.address + module.bias, segment.file_size)
            assert found == image.read(segment.address, segment.file_size)
    again = find_again(module)
    assert (again.file, again.unreadable) == (None, "the kernel mapped it, and it has no file")


def delete(path):
    path.unlink()


def replace_by_another(path):
    """Install another program in its place, as a package manager does."""
    new = path.with_name("new")
    shutil.copy(shutil.which("cat") or "", new)
    new.rename(path)


def replace_by_text(path):
    new = path.with_name("new")
    new.write_text("no program")
    new.rename(path)


CHANGES = [delete, replace_by_another, replace_by_text]


@pytest.mark.parametrize("change", CHANGES)
def test_program_whose_file_has_changed(program, read, start, change):
    build_id, contents = build_id_of(program), program.read_bytes()
    pid = start(program)
    change(program)
    module = read(pid)[str(program)]
    assert (module.path, module.build_id, module.unreadable) == (str(program), build_id, None)
    assert module.file != str(program)
    assert ElfImage(module.file).build_id == build_id
    assert Path(module.file).read_bytes() == contents


def test_other_file_at_the_path_is_not_taken_although_nobody_says_deleted(program, start):
    """As where another file system was mounted over it, or it was replaced a moment ago."""
    build_id, pid = build_id_of(program), start(program)
    replace_by_another(program)
    mappings = [replace(mapping, deleted=False) for mapping in read_mappings(pid)]
    with Memory(pid) as memory:
        reader = ModuleReader(pid, memory)
        module = next(m for m in reader.read(mappings) if m.path == str(program))
        assert module.file
        assert ElfImage(module.file).build_id == build_id
        reader.close()


def test_deleted_file_can_be_read_when_its_process_is_gone(program, read, start):
    build_id, pid = build_id_of(program), start(program)
    program.unlink()
    module = read(pid)[str(program)]
    os.kill(pid, 9)
    wait_until(lambda: read_state(pid) in (None, "Z"), "it is gone")
    assert ElfImage(module.file).build_id == build_id


@pytest.fixture
def library(build_target, tmp_path):
    """Return the path of a copy of a library."""
    built = build_target("unwind_library.c", "-shared", "-fPIC", name="libplain.so")
    return Path(shutil.copy(built, tmp_path / "libplain.so"))


@AS_ROOT
@pytest.mark.parametrize("change", CHANGES)
def test_library_whose_file_has_changed(program, library, read, start, change):
    build_id = build_id_of(library)
    pid = start(program, env={**os.environ, "LD_PRELOAD": str(library)})
    change(library)
    module = read(pid)[str(library)]
    assert (module.build_id, module.unreadable) == (build_id, None)
    assert ElfImage(module.file).build_id == build_id


def test_library_that_cannot_be_read_any_more(program, library, read, start, monkeypatch):
    pid = start(program, env={**os.environ, "LD_PRELOAD": str(library)})
    library.unlink()
    monkeypatch.setattr(ModuleReader, "_candidates", lambda *_: iter([str(library)]))
    module = read(pid)[str(library)]
    assert module.file is None
    assert "replaced or deleted" in module.unreadable
    assert module.build_id, "it stands in the memory"


def test_process_that_ends_while_its_modules_are_read(program, start):
    pid = start(program)
    mappings = read_mappings(pid)
    with Memory(pid) as memory:
        reader = ModuleReader(pid, memory)
        os.kill(pid, 9)
        wait_until(lambda: read_state(pid) in (None, "Z"), "it is gone")
        modules = reader.read(mappings)
        assert [m.path for m in modules if m.file is None]
        assert list(reader.read_again()) == []
        reader.close()


def test_modules_are_read_once(program, start, monkeypatch):
    pid = start(program)
    with Memory(pid) as memory:
        reader = ModuleReader(pid, memory)
        first = reader.read(read_mappings(pid))
        monkeypatch.setattr(ModuleReader, "_make_module", None)
        assert {m for m in reader.read_again() if m.path != "[vdso]"} <= set(first)
        reader.close()


def test_reading_of_modules_comes_to_an_end(program, start):
    pid = start(program)
    with Memory(pid) as memory:
        reader = ModuleReader(pid, memory)
        modules = reader.read(read_mappings(pid), Effort(steps=400))
        unread = [m for m in modules if m.file is None]
        assert unread
        assert "too long" in (unread[-1].unreadable or "")
        reader.close()


def test_merge_of_very_many():
    """Each with each would be a hundred million looks."""
    before = [module(f"a{n}", 16 * n, 16 * n + 8) for n in range(10_000)]
    after = [module(f"b{n}", 16 * n + 8, 16 * n + 16) for n in range(10_000)]
    began_s = time.process_time()
    assert len(list(ModuleMap(before).merge(ModuleMap(after)))) == 20_000
    assert time.process_time() - began_s < 2


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:45 / /home/u/m rw,nosuid - fuse.sshfs u@h:/ rw,user_id=1000,group_id=1000,allow_other
41 22 0:258 / /mnt/own rw - fuse.gcsfuse own rw,user_id=0,group_id=0
"""


@pytest.mark.parametrize(("euid", "found"), [(0, {"00:2d": 1000}), (1000, {})])
def test_file_systems_of_other_users(tmp_path, monkeypatch, euid, found):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr("os.geteuid", lambda: euid)
    assert find_stallers(7, tmp_path) == found
    assert find_stallers(8, tmp_path) == {}


def test_a_file_without_a_build_id_is_not_known_again(program):
    """Nobody can tell whether it is the same; why it was not read in the trace says more."""
    saved = Module(str(program), 0, 1, 0, None, str(program))
    again = find_again(saved)
    assert (again.file, "no build-id" in str(again.unreadable)) == (None, True)
    assert find_again(replace(saved, unreadable="a reason")).unreadable == "a reason"


def test_find_again(program):
    image = ElfImage(str(program))
    saved = Module(str(program), 0, 1, 0, image.build_id, None, "an old reason")
    found = find_again(saved)
    assert (found.file, found.unreadable) == (str(program), None)

    replace_by_another(program)
    found = find_again(saved)
    assert (found.file, found.unreadable) == (None, "the file there now is another one")

    program.unlink()
    assert find_again(saved).file is None
    assert "No such file" in (find_again(saved).unreadable or "")


def test_file_without_build_id_is_never_taken_for_the_same(program):
    path = program.with_name("bare")
    subprocess.run(["objcopy", "-R", ".note.gnu.build-id", program, path], check=True)
    saved = Module(str(path), 0, 1, 0, None, str(path))
    assert find_again(saved).file is None
