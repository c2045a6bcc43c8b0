"""Which frame is named: the first that is no wrapper around an allocator."""

from __future__ import annotations

import pytest

from gdbleak.callers import find_caller
from gdbleak.report import Frame

WRAPPERS = [
    "operator new(unsigned long)",
    "operator new[](unsigned long)",
    "operator new(unsigned long, std::align_val_t)",
    "operator new",
    "__gnu_cxx::new_allocator<int>::allocate(unsigned long, void const*)",
    "std::__new_allocator<int>::allocate",
    "std::allocator_traits<std::allocator<int> >::allocate",
    "std::_Vector_base<int, std::allocator<int> >::_M_allocate(unsigned long)",
    "std::__cxx11::basic_string<char, std::char_traits<char> >::_M_create",
    "std::basic_string<char>::_Rep::_S_create",
    "std::vector<int>::push_back(int const&)",
    "std::map<int, int>::operator[](int const&)",
    "strdup",
    "__strdup",
    "__GI___strdup",
    "strndup",
    "xstrdup",
    "g_strdup",
    "xmalloc",
    "xcalloc",
    "xrealloc",
    "g_malloc",
    "g_malloc0",
    "g_malloc0_n",
    "g_realloc_n",
    "g_try_malloc",
    "__libc_malloc",
    "__libc_calloc",
    "PyMem_RawMalloc",
    "PyObject_Malloc",
    "_PyObject_Malloc",
    "CRYPTO_malloc",
    "av_malloc",
    "asprintf",
    "vasprintf",
    "__vasprintf_chk",
    "getline",
    "realpath",
]
OTHERS = [
    "main",
    "xmallocate",
    "my_malloc_user",
    "strdupes",
    "operator newline",
    "Malloc",
    "operator new_thing",
    "renew",
    "get_line",
    "stdx::vector",
    "cache::xmalloc",
    "fibonacci",
    None,
]


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrapper_is_passed_over(name):
    assert find_caller([Frame(1, function=name), Frame(2, function="main")]) == Frame(
        2, function="main"
    )


@pytest.mark.parametrize("name", OTHERS)
def test_others_are_named(name):
    assert find_caller([Frame(1, function=name), Frame(2, function="main")]).address == 1


@pytest.mark.parametrize(
    ("functions", "address"),
    [
        ([], None),
        (["operator new(unsigned long)"], 1),
        (["operator new[](unsigned long)", "xmalloc", "strdup"], 1),
        (["operator new(unsigned long)", "xmalloc", "work", "main"], 3),
        (["strdup", None, "main"], 2),
    ],
)
def test_stack(functions, address):
    frames = (Frame(n, function=name) for n, name in enumerate(functions, start=1))
    caller = find_caller(frames)
    assert (caller and caller.address) == address
