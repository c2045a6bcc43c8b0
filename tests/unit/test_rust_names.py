"""Names in Rust's old mangling, as a GDB that only knows C++ prints them."""

from __future__ import annotations

import pytest

from gdbleak.text.rust_names import unescape

HASH = "::h0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "unescaped"),
    [
        ("core::ptr::drop_in_place$LT$alloc..string..String$GT$",
         "core::ptr::drop_in_place<alloc::string::String>"),
        ("_$LT$T$u20$as$u20$a..B$LT$C$C$D$GT$$GT$::f", "<T as a::B<C,D>>::f"),
        ("_$LT$$RF$mut$u20$W$u20$as$u20$core..fmt..Write$GT$::write_str",
         "<&mut W as core::fmt::Write>::write_str"),
        ("_$LT$$u5b$T$u5d$$u20$as$u20$a..B$GT$::f", "<[T] as a::B>::f"),
        ("a::main::_$u7b$$u7b$closure$u7d$$u7d$", "a::main::{{closure}}"),
        ("a::f$LP$$RP$$BP$$SP$", "a::f()*@"),
        ("a::_private", "a::_private"),
        ("a::f$X$$u$$uzz$$uffffffff$", "a::f$X$$u$$uzz$$uffffffff$"),
    ],
)  # fmt: skip
def test_unescape(name, unescaped):
    assert unescape(name + HASH) == unescaped + HASH
    assert unescape(name) == name  # without a hash it is another language's


def test_a_copy_by_the_compiler_is_rust_too():
    assert unescape(f"f$LT$T$GT${HASH}.llvm.123") == f"f<T>{HASH}.llvm.123"
