"""Whose malloc a process calls: that of whoever stands first, and never the loader's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from support.libraries import find_library

from gdbleak.elf.image import ElfImage
from gdbleak.errors import AllocatorError, ForeignBreakpointError
from gdbleak.plan.allocator_names import name_allocator
from gdbleak.plan.allocators import find_allocators, iter_changed, plan_probes
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.target.modules import ModuleReader
from gdbleak.target.proc import Memory, read_mappings

MALLOC = "#include <stddef.h>\nvoid *malloc(size_t size) { return (void *)size; }"
OTHER = "int other(int x) { return x; }"


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Return a function that makes a library of some name."""

    def build(name, source):
        folder = tmp_path_factory.mktemp("library")
        (folder / "source.c").write_text(source)
        command = ["cc", "-O2", "-shared", "-fPIC", "-fno-builtin", "-nostdlib"]
        subprocess.run([*command, "-o", folder / name, folder / "source.c"], check=True)
        return folder / name

    return build


def module_of(path, start):
    return Module(str(path), start, start + 0x10000, start, None, str(path))


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["program-", "libc.so.6"], "libc.so.6"),
        (["program-", "libc-2.17.so"], "libc-2.17.so"),
        (["program-", "libc.so.6", "libjemalloc.so.2"], "libjemalloc.so.2"),
        (["program-", "libjemalloc.so.2", "libc.so.6"], "libjemalloc.so.2"),
        (["program", "libc.so.6"], "program"),
        (["program-", "libcrypto.so.3", "libc.so.6"], "libcrypto.so.3"),
        (["program-", "ld-linux-x86-64.so.2", "libc.so.6"], "libc.so.6"),
        (["program-", "ld-2.17.so", "libc-2.17.so"], "libc-2.17.so"),
    ],
)
def test_who_is_chosen(build, names, chosen):
    """A name that ends in - is of a module without malloc."""
    modules = [
        module_of(build(name, OTHER if name.endswith("-") else MALLOC), number << 32)
        for number, name in enumerate(names, start=1)
    ]
    found, *_ = find_allocators(ModuleMap(modules))
    assert (found.module.name, found.name) == (chosen, chosen)


@pytest.mark.parametrize("names", [[], ["program"], ["ld-linux-x86-64.so.2", "program"]])
def test_no_malloc(build, names):
    modules = [
        module_of(build(name, MALLOC if name.startswith("ld-") else OTHER), number << 32)
        for number, name in enumerate(names)
    ]
    with pytest.raises(AllocatorError, match="static"):
        find_allocators(ModuleMap(modules))


def test_no_malloc_but_a_file_that_cannot_be_read():
    module = Module("/lib/libc.so.6", 0, 1, 0, None, None, "its file was deleted")
    with pytest.raises(AllocatorError, match=r"/lib/libc\.so\.6: its file was deleted"):
        find_allocators(ModuleMap([module]))


@pytest.fixture(scope="module")
def child():
    """Return a process that waits for input."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b"ready\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate()


@pytest.fixture
def allocator(child):
    with Memory(child) as memory:
        reader = ModuleReader(child, memory)
        [allocator] = find_allocators(reader.read(read_mappings(child)))
        yield allocator
        reader.close()


def test_c_library_of_a_process(allocator):
    said = subprocess.run(["ldd", "--version"], capture_output=True, text=True).stdout
    version = said.splitlines()[0].split()[-1]
    assert allocator.name == f"glibc {version}"
    assert Path(allocator.module.path).name.startswith("libc")


def test_probes_are_proved_by_the_memory(child, allocator):
    with Memory(child, writable=True) as memory:
        probes = plan_probes([allocator], memory).probes
        assert list(iter_changed(probes, memory)) == []

        probe = next(probe for probe in probes if probe.function == "pvalloc")
        assert memory.write(probe.address, b"\xcc")
        try:
            assert list(iter_changed(probes, memory)) == [probe]
            with pytest.raises(ForeignBreakpointError, match="pvalloc"):
                plan_probes([allocator], memory)
        finally:
            assert memory.write(probe.address, bytes.fromhex(probe.original))
        assert list(iter_changed(probes, memory)) == []


@pytest.mark.parametrize(
    ("library", "pattern"),
    [
        ("libjemalloc.so.2", r"jemalloc \d+\.\d+\.\d+"),
        ("libtcmalloc.so.4", r"tcmalloc \(gperftools\) \d+\.\d+"),
        ("libmimalloc.so.2", r"mimalloc \d+\.\d+\.\d+"),
        ("libc.so.6", r"glibc \d+\.\d+"),
    ],
)
def test_version_is_read_from_the_file(library, pattern):
    image = ElfImage(find_library(library))
    assert re.fullmatch(pattern, name_allocator(image, "the file"))


def test_version_of_musl():
    path = Path("/usr/lib/x86_64-linux-musl/libc.so")
    if not path.exists():
        pytest.skip("musl is not installed: run .ci/setup test")
    assert re.fullmatch(r"musl \d+\.\d+\.\d+", name_allocator(ElfImage(str(path)), "the file"))
