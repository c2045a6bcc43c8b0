"""Runs of library internals in stacks: what is folded, and what never is."""

from __future__ import annotations

import json

import pytest
from reports import report, site

from gdbleak.renderers import make_renderer
from gdbleak.renderers.flames import describe_flames
from gdbleak.renderers.internals import find_runs
from gdbleak.report.model import Frame, Verdict, Word

STD = "std::vector<int, std::allocator<int> >::push_back(int&&)"
TREE = "std::_Rb_tree<int, int, std::less<int> >::_M_insert_()"
GNU = "__gnu_cxx::new_allocator<int>::allocate(unsigned long, void const*)"


def frames(*names, file=None, module="/srv/app"):
    return tuple(
        Frame(0x1000 + n, module=module, offset=n, function=name, file=file, line=n)
        for n, name in enumerate(names)
    )


MAP = frames(GNU, "std::allocator_traits<A>::allocate(A&)", TREE, "fill(int)", STD, "main")


def runs(stack, caller=None):
    return [(run.start, run.end, run.libraries) for run in find_runs(stack, caller)]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((), []),
        (("main",), []),
        ((STD, "main"), []),
        ((STD, TREE, "main"), [(0, 2, "libstdc++")]),
        (("f", STD, GNU, TREE, "main"), [(1, 4, "libstdc++")]),
        ((STD, TREE, "f", STD, TREE), [(0, 2, "libstdc++"), (3, 5, "libstdc++")]),
        (("std::__1::vector<int>::f()", "std::__1::g()"), [(0, 2, "libc++")]),
        (("operator new(unsigned long)", STD), [(0, 2, "libstdc++")]),
        (("boost::detail::f()", STD), [(0, 2, "Boost and libstdc++")]),
        (("operator new", "operator newline(X)", STD), []),
        # A namespace of a program in C++ may have the name of a crate.
        (("core::Engine::run()", "alloc::Pool::get()", "main"), []),
        (
            ("alloc::raw_vec::finish_grow", "core::ops::f", "app::main", "std::rt::lang_start"),
            [(0, 2, "Rust's library")],
        ),
        (
            ("<alloc::vec::Vec<T> as core::iter::F>::from_iter", "std::f"),
            [(0, 2, "Rust's library")],
        ),
        (("<app::Table as core::iter::F>::from_iter", "alloc::f"), []),
        ((None, None), []),
    ],
)
def test_which_frames_are_internals(names, found):
    assert runs(frames(*names)) == found


def test_files_tell_the_language_and_modules_the_library():
    rust = frames("alloc::f", "core::g", "app::h", file="/rustc/1/library/alloc/src/f.rs")
    assert runs(rust) == [(0, 2, "Rust's library")]
    assert runs(frames(None, "x", module="/usr/lib/libstdc++.so.6.0.30")) == [(0, 2, "libstdc++")]
    assert runs(frames(None, "x", module="/usr/lib/libc++.so.1")) == [(0, 2, "libc++")]


def test_the_caller_is_in_no_run():
    stack = frames(GNU, TREE, STD, GNU)
    assert runs(stack, stack[0]) == [(1, 4, "libstdc++")]
    assert runs(stack, stack[2]) == [(0, 2, "libstdc++")]
    assert runs(stack, frames("main")[0]) == [(0, 4, "libstdc++")]


def render(form, stack, caller=3, **options):
    leak = site(1, stack, caller=stack[caller], verdict=Verdict(Word.LEAK, "0 of 9 freed"))
    renderer = make_renderer(form, top=10, width=120, color=False, **options)
    return str(renderer.render(report(leak)))


@pytest.mark.parametrize("form", ["table", "plain", "markdown"])
def test_text(form):
    text = render(form, MAP)
    assert "      ... 3 frames of libstdc++ (--internals shows them)\n  #3  fill(int) " in text
    assert "_Rb_tree" not in text
    assert "#4  std::vector<int>::push_back" in text  # one frame is no run
    whole = render(form, MAP, internals=True)
    assert "  #2  std::_Rb_tree<int, int>::_M_insert_() " in whole
    assert "frames of" not in whole


def test_recursion_through_internals_is_shown_once():
    stack = frames("leaf", *["walk()", STD, TREE] * 5, "main")
    text = render("plain", stack, caller=0)
    assert text.count("walk()") == 1
    assert "      ... these 3 frames 5 times in all, up to #15\n  #16 main " in text


def test_page_holds_every_frame_and_opens_runs_by_a_click():
    page = render("html", MAP)
    folded = '<li class="run"><details><summary>... 3 frames of libstdc++</summary><ol>'
    assert folded + '<li value="0">' in page
    assert '<li value="3">fill(int) ' in page
    assert TREE.replace("<", "&lt;").replace(">", "&gt;") in page
    assert '<li class="run"><details open>' in render("html", MAP, internals=True)
    assert 'id="internals" aria-pressed="false"' in page
    assert 'id="internals" aria-pressed="true"' in render("html", MAP, internals=True)


@pytest.mark.parametrize(
    "changes",
    [{}, {"truncated": True}, {"kind": "mapping"}, {"truncated": True, "kind": "mapping"}],
)
def test_flame_graph_knows_which_frames_to_fold(changes):
    """What the page's script does with the data."""
    data = json.loads(describe_flames(report(site(1, MAP, caller=MAP[3], **changes)), 9))
    (stack,) = data["stacks"]
    shown, at = [], 0
    for start, end, name in stack["runs"]:
        shown += [*stack["frames"][at:start], name]
        at = end
    names = [data["frames"][place] for place in shown + stack["frames"][at:]]
    first = ["(unknown)"] if changes.get("truncated") else []
    last = ["[mapping]"] if "kind" in changes else []
    assert names == [*first, "main", STD, "fill(int)", "[libstdc++]", *last]


def test_flame_graph_of_a_deep_stack():
    deep = (*frames(*[STD] * 150), *frames("f"), *frames(*[TREE] * 150))
    (stack,) = json.loads(describe_flames(report(site(1, deep, caller=deep[150])), 9))["stacks"]
    assert len(stack["frames"]) == 200
    assert [run[:2] for run in stack["runs"]] == [[0, 49], [50, 200]]


@pytest.mark.parametrize("form", ["csv", "json", "folded", "speedscope"])
def test_formats_for_tools_keep_every_frame(form):
    assert "_Rb_tree" in render(form, MAP)
