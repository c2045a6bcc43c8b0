"""What glibc calls its allocator in for itself: in small libraries, and in real ones."""

from __future__ import annotations

import pytest
from small_libraries import build_library, function, hidden, marks
from support.gdbs import debian_root
from support.roots import HOST, LIBRARIES, library_of

from gdbleak.architectures import AARCH64, X86_64
from gdbleak.elf.image import ElfImage
from gdbleak.plan.breakpoints import place_probes
from gdbleak.recording.functions import CACHE_START, FAMILIES, INTERNAL_FUNCTIONS, THREAD_END
from gdbleak.recording.modules import Module
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Role

GLIBC = ("-Wl,-soname,libc.so.6", "-Wl,-Bsymbolic")
INTERNAL = {function.name for function in INTERNAL_FUNCTIONS}


def internal_probes(path, size_offset=-8):
    """Return those probes of a plan that tell what an allocator does for itself."""
    module = Module(str(path), 0, 1 << 32, 0, None, str(path))
    image = ElfImage(str(path))
    plan = place_probes(FAMILIES[0], module, image, X86_64, size_offset=size_offset)
    return [probe for probe in plan if probe.function in INTERNAL]


def places(probes):
    """Return by which functions, and at which addresses, probes are in."""
    return {p.function for p in probes}, {p.address for p in probes}


MALLOC = function("malloc", "test %rdi, %rdi; je large; ret") + hidden("large", "nop; ret")
FREE = function("free", "ret")
END = "internal_1: call free; call free; je 1f; internal_2: ret; 1: internal_3: jmp other"
OTHER = hidden("other", "ret")
CACHE = "internal_1: nop; call large; internal_2: ret"

FOUND = {
    "the end of a thread": (
        THREAD_END,
        [MALLOC, FREE, OTHER, hidden("end", END), hidden("exit", "call end; ret")],
    ),
    "realloc frees too": (
        THREAD_END,
        [
            *(MALLOC, FREE, OTHER, hidden("end", END)),
            function("realloc", "test %rsi, %rsi; je realloc.cold; ret"),
            hidden("realloc.cold", "call free; ret"),
        ],
    ),
    "the start of a cache": (
        CACHE_START,
        [MALLOC, FREE, hidden("start", CACHE), hidden("slow", "call start; jmp free")],
    ),
    "the start of a cache that is a part of a way of free": (
        CACHE_START,
        [
            *(MALLOC, OTHER, function("free", "je 1f; ret; 1: jmp start")),
            hidden("start", "internal_1: nop; call large; internal_2: jmp free"),
        ],
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_found(tmp_path, name):
    expected, functions = FOUND[name]
    library = build_library(tmp_path, *functions, flags=GLIBC)
    probes = internal_probes(library)
    assert places(probes) == ({expected.name}, marks(library, "internal_"))
    assert [probe.role for probe in probes if probe.role is Role.ENTRY] == [Role.ENTRY]
    all_but_none = tuple(phase for phase in Phase if phase is not Phase.NONE)
    assert all(probe.phases == all_but_none for probe in probes)


NOT_FOUND = {
    "two functions free: nothing tells which one is meant": [
        *(MALLOC, FREE, hidden("one", "call free; ret"), hidden("two", "call free; ret"))
    ],
    "a function that frees through the linkage table": [
        *(MALLOC, FREE, function("fclose", "call free@plt; ret"))
    ],
    "a function that a program has put in place": [MALLOC, FREE, hidden("one", "jmp free")],
    "a call of malloc itself": [MALLOC, FREE, hidden("strdup", "call malloc; ret")],
    "another one of the plan": [MALLOC, FREE, function("calloc", "call large; ret")],
}


@pytest.mark.parametrize("functions", NOT_FOUND.values(), ids=NOT_FOUND)
def test_not_found(tmp_path, functions):
    linked = any("@plt" in text for text in functions)
    flags = ("-Wl,-soname,libc.so.6",) if linked else GLIBC
    assert internal_probes(build_library(tmp_path, *functions, flags=flags)) == []


def test_elsewhere_any_function_may_call_free(tmp_path):
    functions = [MALLOC, FREE, OTHER, hidden("end", END)]
    flags = ("-Wl,-soname,libprogram.so", "-Wl,-Bsymbolic")
    assert internal_probes(build_library(tmp_path, *functions, flags=flags)) == []


def test_where_a_program_has_glibc_in_it_the_symbol_tells(tmp_path):
    functions = [MALLOC, FREE, OTHER, hidden("__malloc_arena_thread_freeres", END)]
    functions += [hidden("user", "call free; ret")]
    library = build_library(tmp_path, *functions, flags=("-Wl,-Bsymbolic",))
    names, addresses = places(internal_probes(library))
    assert (names, addresses) == ({THREAD_END.name}, marks(library, "internal_"))


def test_of_another_allocator_nothing_is_looked_for(tmp_path):
    library = build_library(tmp_path, MALLOC, FREE, OTHER, hidden("end", END), flags=GLIBC)
    assert internal_probes(library, size_offset=None) == []


VERSIONS = {
    "bullseye": {THREAD_END.name},  # 2.31
    "trixie": {THREAD_END.name},  # 2.41
    "sid": {CACHE_START.name},  # 2.43
}


@pytest.mark.parametrize("suite", [suite for suite in LIBRARIES if suite != HOST])
def test_c_library_of_a_distribution(suite):
    probes = internal_probes(library_of(debian_root(suite)))
    assert {probe.function for probe in probes} == VERSIONS[suite]
    assert [probe.role for probe in probes].count(Role.ENTRY) == 1
    assert {bytes.fromhex(p.original)[0] for p in probes if p.role is Role.RETURN} <= {
        *(0xC3, 0xE9, 0xEB)
    }


def test_calls_in_code():
    code = bytes.fromhex("90 e8 0b 00 00 00 e8 f5 ff ff ff e8")
    calls = list(X86_64.iter_calls(code, 0x1000))
    assert calls == [(0x1001, 0x1011), (0x1006, 0x1000)]


def test_calls_in_code_of_aarch64():
    code = bytes.fromhex("1f2003d5 02000094 ffffff97 02000014 0000")  # nop, bl, bl, b
    assert list(AARCH64.iter_calls(code, 0x1000)) == [(0x1004, 0x100C), (0x1008, 0x1004)]
