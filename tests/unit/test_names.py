"""Names of functions, as GDB prints them: bare for matching, short for display."""

from __future__ import annotations

import pytest

from gdbleak.text.names import qualified, shorten

STRING = "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >"
MAP = (
    f"std::map<{STRING}, std::vector<int, std::allocator<int> >, std::less<{STRING} >, "
    f"std::allocator<std::pair<{STRING} const, std::vector<int, std::allocator<int> > > > >"
)

NAMES = [
    # name, bare, short at 60, short at 30 without parameters
    ("main", "main", "main", "main"),
    ("", "", "", ""),
    # parameters
    ("f()", "f", "f()", "f"),
    ("f(int) const", "f", "f(int) const", "f"),
    ("A::f(int)::B::g() const", "A::f::B::g", "A::f(int)::B::g() const", "A::f::B::g"),
    ("A::f() const::{lambda()#1}::operator()() const", "A::f::{lambda()#1}::operator()",
     "A::f() const::{lambda()#1}::operator()() const", "A::f::{lambda()#1}::operator()"),
    # return types: the symbols of templates have one
    ("void f<int>(int)", "f", "void f<int>(int)", "f<int>"),
    ("unsigned long A<char>::f<int>(int)", "A::f", "unsigned long A<char>::f<int>(int)",
     "A<char>::f<int>"),
    ("decltype(auto) f<int>(int)", "f", "decltype(auto) f<int>(int)", "f<int>"),
    ("decltype (x+y) f<int>(int)", "f", "decltype (x+y) f<int>(int)", "f<int>"),
    ("non-virtual thunk to A::f(int)", "A::f", "non-virtual thunk to A::f(int)", "A::f"),
    ("void (*f(int))(char)", "(*f(int))", "void (*f(int))(char)", "(*f(int))"),
    # the standard library
    (f"{STRING}::_M_create(unsigned long&, unsigned long)",
     "std::__cxx11::basic_string::_M_create",
     "std::string::_M_create(unsigned long&, unsigned long)", "std::string::_M_create"),
    ("std::basic_string<char>::reserve", "std::basic_string::reserve", "std::string::reserve",
     "std::string::reserve"),
    ("std::__1::basic_string<wchar_t, std::__1::char_traits<wchar_t>, std::__1::allocator<wchar_t>>"
     "::append(int)", "std::__1::basic_string::append", "std::wstring::append(int)",
     "std::wstring::append"),
    ("std::basic_string_view<char, std::char_traits<char> >::find(char)",
     "std::basic_string_view::find", "std::string_view::find(char)", "std::string_view::find"),
    (f"{MAP}::operator[]({STRING} const&)", "std::map::operator[]",
     "std::map<std::string, std::vector<int>>::operator[](...)", "std::map<...>::operator[]"),
    ("std::unique_ptr<A, std::default_delete<A> >::reset(A*)", "std::unique_ptr::reset",
     "std::unique_ptr<A>::reset(A*)", "std::unique_ptr<A>::reset"),
    ("std::set<int, Order, std::allocator<int> >::clear()", "std::set::clear",
     "std::set<int, Order>::clear()", "std::set<int, Order>::clear"),
    ("mystd::basic_string<char>::f()", "mystd::basic_string::f", "mystd::basic_string<char>::f()",
     "mystd::basic_string<char>::f"),
    # template arguments, the innermost first
    ("A<B<C<D<E<int> > > > >::insert(E<int> const&, E<int> const&)", "A::insert",
     "A<B<C<D<E<int>>>>>::insert(E<int> const&, E<int> const&)", "A<B<C<D<E<int>>>>>::insert"),
    ("A<B<C<D<E<int> > > > >::insert_or_assign(E<int> const&, E<int> const&)",
     "A::insert_or_assign", "A<B<C<D<E<int>>>>>::insert_or_assign(...)",
     "A<B<C<...>>>::insert_or_assign"),
    ("cache::Table<std::pair<int, cache::Entry<long> >, 7>::insert(unsigned long)",
     "cache::Table::insert",
     "cache::Table<std::pair<...>, 7>::insert(...)", "cache::Table<...>::insert"),
    ("A<(3>2)>::f()", "A::f", "A<(3>2)>::f()", "A<(3>2)>::f"),
    ("A<((x)<(y)), 3>::a_rather_long_function(int)", "A::a_rather_long_function",
     "A<((x)<(y)), 3>::a_rather_long_function(int)", "A<...>::a_rather_long_function"),
    # operators
    ("operator new[](unsigned long)", "operator new[]", "operator new[](unsigned long)",
     "operator new[]"),
    ("A::operator delete(void*)", "A::operator delete", "A::operator delete(void*)",
     "A::operator delete"),
    *((f"A::operator{o}(A const&) const", f"A::operator{o}", f"A::operator{o}(A const&) const",
       f"A::operator{o}")
      for o in ("<", "<<", "<=", "<=>", "<<=", ">", ">>", ">=", ">>=", "->", "->*", "()", "[]",
                "+", "+=", "++", "--", "&&", "||", "!", "!=", "==", "=", ",", "~", "%", "^=")),
    ("bool operator< <int>(A<int> const&)", "operator<", "bool operator< <int>(A<int> const&)",
     "operator< <int>"),
    ("std::ostream& std::operator<< <std::char_traits<char> >(std::ostream&, char const*)",
     "std::operator<<", "std::operator<< <std::char_traits<char>>(...)", "std::operator<< <...>"),
    ("A::operator-><int>()", "A::operator->", "A::operator-><int>()", "A::operator-><int>"),
    ("A::operator()<int>(int) const", "A::operator()", "A::operator()<int>(int) const",
     "A::operator()<int>"),
    ("A<int>::operator bool() const", "A::operator bool", "A<int>::operator bool() const",
     "A<int>::operator bool"),
    ("A::operator B<int> const&()", "A::operator B const&", "A::operator B<int> const&()",
     "A::operator B<int> const&"),
    ("A::operator unsigned long() const", "A::operator unsigned long",
     "A::operator unsigned long() const", "A::operator unsigned long"),
    ('operator"" _kb(unsigned long long)', 'operator"" _kb', 'operator"" _kb(unsigned long long)',
     'operator"" _kb'),
    ("my_operator<int>(int)", "my_operator", "my_operator<int>(int)", "my_operator<int>"),
    # what has no name
    ("(anonymous namespace)::A::f(int)", "(anonymous namespace)::A::f",
     "(anonymous namespace)::A::f(int)", "(anonymous namespace)::A::f"),
    ("void a::(anonymous namespace)::f<int>(int)", "a::(anonymous namespace)::f",
     "void a::(anonymous namespace)::f<int>(int)", "a::(anonymous namespace)::f<...>"),
    ("main::{lambda(int, A<int>)#1}::operator()(int, A<int>) const",
     "main::{lambda(int, A<int>)#1}::operator()",
     "main::{lambda(int, A<int>)#1}::operator()(int, A<int>) const",
     "main::{lambda(int, A<...>)#1}::operator()"),
    ("main()::<lambda(int)>::operator()(int) const", "main::<lambda(int)>::operator()",
     "main()::<lambda(int)>::operator()(int) const", "main::<lambda(int)>::operator()"),
    # ABI tags, versions, copies
    ("f[abi:cxx11](int)", "f", "f(int)", "f"),
    ("A<int>[abi:x]::f()", "A::f", "A<int>::f()", "A<int>::f"),
    ("malloc@@GLIBC_2.2.5", "malloc", "malloc@@GLIBC_2.2.5", "malloc@@GLIBC_2.2.5"),
    ("__GI___strdup", "__strdup", "__GI___strdup", "__GI___strdup"),
    ("f.constprop.0.isra.3.cold", "f", "f.constprop.0.isra.3.cold", "f.constprop.0.isra.3.cold"),
    ("f.llvm.1234", "f", "f.llvm.1234", "f.llvm.1234"),
    ("void f<int>(int) [clone .isra.0] [clone .cold]", "f",
     "void f<int>(int) [clone .isra.0] [clone .cold]", "f<int>"),
    # Rust: the old mangling, v0, debug information
    ("a::b::h0123456789abcdef", "a::b", "a::b", "a::b"),
    ("a::b::h0123456789abcdef.llvm.77", "a::b", "a::b.llvm.77", "a::b.llvm.77"),
    ("a::hash::h012345678", "a::hash::h012345678", "a::hash::h012345678", "a::hash::h012345678"),
    ("<alloc::vec::Vec<T,A> as core::ops::drop::Drop>::drop::h0123456789abcdef",
     "alloc::vec::Vec::drop", "<alloc::vec::Vec<T,A> as core::ops::drop::Drop>::drop",
     "<alloc::vec::Vec<...> as core::ops::drop::Drop>::drop"),
    ("<alloc[fdfd2bd8633a6659]::vec::Vec<u8>>::push::<u8>", "alloc::vec::Vec::push",
     "<alloc::vec::Vec<u8>>::push::<u8>", "<alloc::vec::Vec<...>>::push::<...>"),
    ("<T as a::b::C>::f", "a::b::C::f", "<T as a::b::C>::f", "<T as a::b::C>::f"),
    ("<&mut [u8] as a::C>::f", "a::C::f", "<&mut [u8] as a::C>::f", "<&mut [u8] as a::C>::f"),
    ("<<a::A as b::B>::C as d::D<E>>::f", "<a::A as b::B>::C::f",
     "<<a::A as b::B>::C as d::D<E>>::f", "<<...>::C as d::D<...>>::f"),
    ("a::{impl#3}::f<u8>", "a::{impl#3}::f", "a::{impl#3}::f<u8>", "a::{impl#3}::f<u8>"),
    ("a::f::{closure#0}", "a::f::{closure#0}", "a::f::{closure#0}", "a::f::{closure#0}"),
    # other languages
    ("runtime.(*mcache).refill", "runtime.(*mcache).refill", "runtime.(*mcache).refill",
     "runtime.(*mcache).refill"),
    ("-[Foo bar:]", "-[Foo bar:]", "-[Foo bar:]", "-[Foo bar:]"),
    # no names at all
    ("a > b", "b", "a > b", "b"),
    (")>]", ")>]", ")>]", ")>]"),
    ("f<", "f<", "f<", "f<"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "bare"), [row[:2] for row in NAMES])
def test_qualified(name, bare):
    assert qualified(name) == bare


@pytest.mark.parametrize(("name", "short"), [(row[0], row[2]) for row in NAMES])
def test_shorten(name, short):
    assert shorten(name, 60) == short


@pytest.mark.parametrize(("name", "short"), [(row[0], row[3]) for row in NAMES])
def test_shorten_without_parameters(name, short):
    assert shorten(name, 30, parameters=False) == short


@pytest.mark.parametrize("name", [row[0] for row in NAMES])
@pytest.mark.parametrize("wanted", [0, 1, 20, 1000])
def test_shortening_again_changes_nothing(name, wanted):
    once = shorten(name, wanted)
    assert shorten(once, wanted) == once
    assert not name or once


@pytest.mark.parametrize(
    "part",
    ["<", ">", "()", "(", "A<", "a::",
     "<a as b>::", ", std::allocator<", ", std::less<a>",
     "A<b, std::less<", "operator", " ", ".cold",
     "::h0123456789abcdef", "{[(<", "f() const", "[abi:x]", " as "],
)  # fmt: skip
def test_hostile_names_are_read_to_their_end(part):
    for name in (part * (20_000 // len(part)), part * 1_000_000):
        assert isinstance(qualified(name), str)
        assert isinstance(shorten(name, 60), str)
        assert isinstance(shorten(name, 60, parameters=False), str)
