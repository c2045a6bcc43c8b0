"""Names of classes as their programs write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.text.class_names import demangle_class

NAMES = {
    "4Node": "Node",
    "N3app6WidgetIiEE": "app::Widget<int>",
    "St9bad_alloc": "std::bad_alloc",
    "NSt3pmr15memory_resourceE": "std::pmr::memory_resource",
    "N12_GLOBAL__N_17CountedE": "(anonymous namespace)::Counted",
    "St23_Sp_counted_ptr_inplaceI4NodeSaIvELN9__gnu_cxx12_Lock_policyE2EE": (
        "std::_Sp_counted_ptr_inplace<Node, std::allocator<void>, (__gnu_cxx::_Lock_policy)2>"
    ),
    "N3app5TableI3KeySt6vectorIS1_SaIS1_EEEE": (
        "app::Table<Key, std::vector<Key, std::allocator<Key> > >"
    ),
    "4PairIPKcRmE": "Pair<char const*, unsigned long&>",
    "3BoxIPFviEE": "Box<void (*)(int)>",
    "3BoxIFvvEE": "Box<void ()>",
    "3BoxIRA3_KcE": "Box<char const (&) [3]>",
    "3BoxILb1ELin5ELm7EE": "Box<true, -5, 7ul>",
    "3BoxIJicEE": "Box<int, char>",
    "Z4mainE5Local": "main()::Local",
    "Z4mainEUlvE_": "main()::{lambda()#1}",
    "Z3runiEUliE0_": "run()::{lambda(int)#2}",
    "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE": (
        "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >"
    ),
    "M2FoFivE": "int (Fo::*)()",
}
UNREADABLE = ["", "1", "99Node", "N3app", "3BoxIXadL_Z3runvEEE", "S_", "S99_", "4NodeX", "I", "Sq"]


@pytest.mark.parametrize(("mangled", "name"), NAMES.items())
def test_names(mangled, name):
    assert demangle_class(mangled) == name


@pytest.mark.parametrize("mangled", UNREADABLE)
def test_what_cannot_be_read_stays(mangled):
    assert demangle_class(mangled) == mangled


@given(st.text("NSIEJLKPRDpt_0123456789aivFMAXZTUl", max_size=60))
def test_anything_ends(mangled):
    assert isinstance(demangle_class(mangled), str)


@pytest.mark.parametrize("mangled", ["P" * 5000 + "i", "3BoxI" * 5000, "1a" + "I" * 4000])
def test_endless_names_stay(mangled):
    assert demangle_class(mangled) == mangled


def test_names_that_grow_with_each_part_stay():
    doubling = "3BoxI1AS_I" + "".join(f"S{n}_" * 2 for n in "0123456789") * 20 + "EE"
    assert len(demangle_class(doubling)) < 10_000
