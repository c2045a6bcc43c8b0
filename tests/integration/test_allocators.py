"""Whatever a program allocates with, and however that was linked, the counts are the truth."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.exactness import assert_exact
from support.libraries import find_library

pytestmark = pytest.mark.usefixtures("needs_ptrace")

FLAGS = ("-fno-optimize-sibling-calls",)
TARGETS = Path(__file__).parents[1] / "targets"
LIBRARIES = {
    "jemalloc": "libjemalloc.so.2",
    "tcmalloc": "libtcmalloc.so.4",
    "tcmalloc minimal": "libtcmalloc_minimal.so.4",
    "mimalloc": "libmimalloc.so.2",
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_preloaded(cli, build_target, start_target, name):
    library = find_library(LIBRARIES[name])
    program = build_target("exact.cpp", *FLAGS)
    target = start_target("env", f"LD_PRELOAD={library}", program)
    assert_exact(cli, target, name.split()[0])


@pytest.mark.parametrize("name", LIBRARIES)
def test_linked(cli, build_target, start_target, name):
    program = build_target("exact.cpp", *FLAGS, find_library(LIBRARIES[name]))
    assert_exact(cli, start_target(program), name.split()[0])


@pytest.mark.parametrize("flag", ["-static", "-static-pie"])
def test_static(cli, build_target, start_target, flag):
    program = build_target("exact.cpp", *FLAGS, flag)
    assert_exact(cli, start_target(program), "glibc in exact")


@pytest.mark.parametrize("kind", ["-DWITH_HEADER", "-DBARE"])
def test_allocator_that_hands_on_to_another(cli, build_target, start_target, kind):
    """Both are watched; what a program does is counted once, at the one it calls."""
    flags = ("-shared", "-fPIC", "-fno-builtin", kind)
    library = build_target("interposer.c", *flags, name="libinterposer.so")
    program = build_target("exact.cpp", *FLAGS)
    assert_exact(cli, start_target("env", f"LD_PRELOAD={library}", program), "libinterposer.so")


@pytest.fixture
def musl_gcc():
    """Return the compiler for musl."""
    if shutil.which("musl-gcc") is None:
        pytest.skip("musl-gcc is not installed: run .ci/setup test")
    return "musl-gcc"


@pytest.mark.parametrize("flags", [(), ("-static",), ("-static-pie",)], ids=str)
def test_musl(cli, musl_gcc, start_target, tmp_path, flags):
    program = tmp_path / "sites"
    command = [musl_gcc, "-O2", "-g", *flags, "-o", program, TARGETS / "sites.c"]
    subprocess.run(command, check=True)
    assert_exact(cli, start_target(program), "musl")
