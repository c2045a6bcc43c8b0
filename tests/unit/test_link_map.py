"""The order in which symbols are looked up, read from processes whose order is known."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from gdbleak.plan.allocators import find_allocators
from gdbleak.target.link_map import read_search_order
from gdbleak.target.modules import ModuleReader
from gdbleak.target.proc import Memory, read_mappings

PROGRAM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
int first(void), second(void);
int main(int count, char **arguments)
{
    int sum = LINKED;
    if (count > 1 && !dlmopen(LM_ID_NEWLM, arguments[1], RTLD_NOW))
        return 1;
    puts("ready");
    fflush(stdout);
    return getchar() + sum;
}
"""
MALLOC = "#include <stddef.h>\nvoid *malloc(size_t n) { static char a[9]; return n ? NULL : a; }"


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Return a function that compiles a program or library."""
    folder = tmp_path_factory.mktemp("linked")

    def build(name, source, *flags):
        (folder / f"{name}.c").write_text(source)
        path = folder / name
        command = ["cc", "-O1", "-w", "-o", path, folder / f"{name}.c", *flags]
        subprocess.run(command, check=True)
        return path

    return build


@pytest.fixture(scope="module")
def libraries(build):
    shared = ("-shared", "-fPIC", "-nostdlib")
    return [build(f"lib{n}.so", f"int {n}(void) {{ return 0; }}", *shared) for n in NAMES]


NAMES = ("first", "second", "preloaded")


@pytest.fixture(scope="module")
def program(build, libraries):
    flags = ("-DLINKED=second()+first()", *map(str, libraries[1::-1]), "-Wl,--no-as-needed")
    return build("program", PROGRAM, *flags)


@contextmanager
def running(*command, **variables):
    """Run a program until it has said that it is ready, and yield its modules in order."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **variables},
    ) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            with Memory(process.pid) as memory:
                reader = ModuleReader(process.pid, memory)
                modules = reader.read(read_mappings(process.pid))
                yield modules, read_search_order(process.pid, memory)
                reader.close()
        finally:
            process.communicate(b"\n")


def names_in_order(modules, order):
    """Return the file names of the modules of a search order."""
    found = {
        place: next((m.name for m in modules if m.start <= address < m.end), None)
        for address, place in order.items()
    }
    return [found[place] for place in sorted(found) if found[place] not in (None, "[vdso]")]


def test_program_preloaded_and_needed_libraries(program, libraries):
    with running(program, LD_PRELOAD=str(libraries[2])) as (modules, order):
        names = names_in_order(modules, order)
    assert names[:4] == ["program", "libpreloaded.so", "libsecond.so", "libfirst.so"]
    assert names.index("libfirst.so") < names.index("libc.so.6")


def test_second_namespace(program, libraries):
    """A library in a namespace of its own has a C library of its own, too."""
    with running(program, libraries[2]) as (modules, order):
        names = names_in_order(modules, order)
    assert names[0] == "program"
    if "libpreloaded.so" not in names:
        assert (os.confstr("CS_GNU_LIBC_VERSION") or "") < "glibc 2.35"
        pytest.skip("before glibc 2.35 the dynamic linker does not tell of other namespaces")
    assert names.index("libpreloaded.so") > names.index("libc.so.6")


@pytest.mark.parametrize("flag", ["-static", "-static-pie"])
def test_static_program_has_no_order(build, flag):
    source = '#include <stdio.h>\nint main(void) { puts("ready"); fflush(stdout); getchar(); }'
    with running(build(f"program{flag}", source, flag)) as (_, order):
        assert order == {}


def test_order_decides_between_allocators(build, program):
    """The library that was mapped first lies above the others: the address tells nothing."""
    library = build("libown.so", MALLOC, "-shared", "-fPIC", "-nostdlib")
    with running(program, LD_PRELOAD=str(library)) as (modules, order):
        found = find_allocators(modules, order)
    assert [Path(allocator.module.path).name for allocator in found] == ["libown.so", "libc.so.6"]
