"""The programs of the corpus say what is right of them, and compile."""

from __future__ import annotations

import re

import pytest
from support.builds import WARNINGS, UnbuildableError, build
from support.corpus import FITTING, PROGRAMS, Finding, bare_name, read_programs
from support.crew import TORTURE

IDS = [program.name for program in PROGRAMS]
COMPILED = PROGRAMS if TORTURE > 1 else [each for each in PROGRAMS if each.path.suffix == ".c"]
"""Those in C++ and Rust take minutes together; the benchmark compiles them all."""
KEYS = {*FITTING, "lost", "rate", "window", "allocator", "module", "process"}


def test_there_are_enough():
    assert len(PROGRAMS) >= 60
    assert len(set(IDS)) == len(IDS)


def test_there_are_some_of_each_kind():
    rates = {program.rate for program in PROGRAMS}
    assert {None, 300, 3000, 20000, 100000} <= rates
    assert {program.path.suffix for program in PROGRAMS} == {".c", ".cpp", ".rs"}
    allocators = {program.allocator for program in PROGRAMS}
    assert allocators == {None, "jemalloc", "tcmalloc", "mimalloc", "musl"}
    assert {program.module for program in PROGRAMS} == {None, "loaded", "linked"}


@pytest.mark.parametrize("program", PROGRAMS, ids=IDS)
def test_every_label_is_of_a_function_in_the_source(program):
    text = program.path.read_text()
    head, _, code = text.partition("*/" if program.path.suffix != ".rs" else "\n\n")
    keys = re.findall(r"^(?: \*|//!) (\w+):", head, re.MULTILINE)
    assert set(keys) <= KEYS
    assert program.labels
    for function in program.labels:
        # A macro defines some of them: HANDLER(17) is handle_17.
        name = re.sub(r"_\d+$", "_##n", function)
        assert re.search(rf"\b({function}|{name})(<.*>)?\(", code), function


@pytest.mark.parametrize("program", PROGRAMS, ids=IDS)
def test_only_leaks_are_lost(program):
    assert {program.labels[function] for function in program.lost} <= {"leak", "growing"}


@pytest.mark.slow
@pytest.mark.parametrize("program", COMPILED, ids=lambda program: program.name)
def test_it_compiles_without_a_warning(program, tmp_path):
    try:
        binary = build(program, tmp_path, WARNINGS)
    except UnbuildableError as error:
        pytest.skip(f"{error}: run .ci/setup test")
    assert binary.exists()


def test_a_head_is_read(tmp_path):
    (tmp_path / "corpus.rs").touch()
    (tmp_path / "it.c").write_text(
        "/* What it does.\n * rate: 300\n * leak: one\n * lost: one\n * keeps: two */\n"
    )
    (program,) = read_programs(tmp_path)
    assert (program.name, program.rate, program.window_s) == ("it", 300, 0)
    assert program.labels == {"one": "leak", "two": "keeps"}
    assert (program.lost, program.forks, program.allocator) == ({"one"}, False, None)


def test_call_stacks_are_found_by_the_innermost_function_that_has_a_label(tmp_path):
    (tmp_path / "it.rs").write_text("//! What it does.\n//! growing: insert\n")
    (program,) = read_programs(tmp_path)

    def site(rank, evidence, *functions):
        frames = [{"function": function} for function in functions]
        return {
            "rank": rank,
            "frames": frames,
            "verdict": {"word": "leak", "evidence": evidence},
        }

    report = {
        "sites": [
            site(1, "lost: nothing", None, "it::Cache<u8>::insert", "it::main"),
            site(2, "0 of 7 freed", "strdup", "main"),
        ]
    }
    assert program.find(report) == [
        Finding("insert", "growing", 1, "leak", "lost: nothing", lost=True),
        Finding("strdup", "keeps", 2, "leak", "0 of 7 freed"),
    ]


@pytest.mark.parametrize(
    ("function", "bare"),
    [
        ("insert", "insert"),
        ("insert(long, char const*)", "insert"),
        ("std::map<int, A::B>::operator[](int&&)", "operator[]"),
        ("<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop::h0123456789abcdef", "drop"),
        ("parse_node.constprop.0", "parse_node"),
    ],
)
def test_bare_names(function, bare):
    assert bare_name(function) == bare
