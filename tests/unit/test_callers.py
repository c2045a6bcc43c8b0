"""Which frame is named: the first that did not just allocate for another."""

from __future__ import annotations

import pytest

from gdbleak.analysis.callers import Wrappers, find_caller
from gdbleak.report.model import Frame

WRAPPERS = [
    # C++
    "operator new(unsigned long)",
    "operator new[](unsigned long)",
    "operator new(unsigned long, std::align_val_t)",
    "operator new[](unsigned long, std::align_val_t, std::nothrow_t const&)",
    "operator new",
    "__gnu_cxx::new_allocator<int>::allocate(unsigned long, void const*)",
    "std::__new_allocator<int>::allocate",
    "std::allocator_traits<std::allocator<int> >::allocate",
    "std::_Vector_base<int, std::allocator<int> >::_M_allocate(unsigned long)",
    "std::__cxx11::basic_string<char, std::char_traits<char> >::_M_create",
    "std::basic_string<char>::_Rep::_S_create",
    "std::vector<int>::push_back(int const&)",
    "std::map<int, int>::operator[](int const&)",
    "std::__1::vector<Item, std::__1::allocator<Item>>::__push_back_slow_path<Item const&>(Item)",
    "std::_MakeUniq<Item>::__single_object std::make_unique<Item, int>(int&&)",
    "void std::vector<Item, std::allocator<Item> >::_M_realloc_insert<Item const&>"
    "(__gnu_cxx::__normal_iterator<Item*, std::vector<Item> >, Item const&)",
    "std::basic_ostream<char>& std::operator<< <std::char_traits<char> >"
    "(std::basic_ostream<char>&, char const*)",
    "__cxa_allocate_exception",
    # the C library, under all its names
    *("strdup", "__strdup", "__GI___strdup", "strndup", "strdup@GLIBC_2.2.5", "strdup@plt"),
    *("malloc@@GLIBC_2.2.5", "__libc_malloc", "__libc_calloc", "__GI___libc_malloc"),
    *("asprintf", "vasprintf", "__vasprintf_chk", "__asprintf_chk", "__GI___asprintf_chk"),
    *("__vasprintf_internal", "getline", "_IO_getdelim", "__GI__IO_getdelim", "realpath"),
    *("__realpath_chk", "__fopen_internal", "_IO_file_doallocate", "_dl_allocate_tls"),
    # copies that compilers make
    *("xmalloc.constprop.0", "xmalloc.isra.0", "xmalloc.part.0.cold", "xmalloc.llvm.123"),
    *("xmalloc.constprop.0.isra.0", "g_malloc.localalias", "xmalloc.lto_priv.0"),
    "std::vector<int>::push_back(int const&) [clone .isra.0] [clone .cold]",
    # home-made
    *("xstrdup", "xmalloc", "xcalloc", "xrealloc", "xmalloc_array", "safe_malloc", "zmalloc"),
    # libraries
    *("g_strdup", "g_malloc", "g_malloc0", "g_malloc0_n", "g_realloc_n", "g_try_malloc"),
    *("g_slice_alloc0", "g_list_append", "g_hash_table_insert", "g_string_append"),
    *("PyMem_RawMalloc", "PyObject_Malloc", "_PyObject_Malloc", "_PyMem_DebugRawAlloc"),
    *("g_vasprintf", "g_build_filename", "Perl_safesysmalloc", "Perl_sv_grow", "ruby_xmalloc2"),
    *("uv__malloc", "os::malloc(unsigned long, MEMFLAGS)", "_talloc_array", "my_malloc"),
    *("PyType_GenericAlloc", "_PyObject_GC_NewVar"),
    *("CRYPTO_malloc", "CRYPTO_zalloc", "CRYPTO_strdup", "av_malloc", "av_mallocz", "av_realloc_f"),
    *("sqlite3MemMalloc", "sqlite3Malloc", "sqlite3DbMallocRawNN", "sqlite3_malloc64"),
    *("xmlMallocLoc", "xmlStrdup", "xmlMemMalloc", "Curl_dyn_add", "Curl_ccalloc"),
    *("apr_palloc", "apr_pstrdup", "allocator_alloc", "ngx_alloc", "ngx_palloc_block"),
    *("_emalloc", "_emalloc_56", "_safe_emalloc", "zend_mm_alloc_huge", "palloc", "palloc0"),
    *("AllocSetAlloc", "MemoryContextAllocZero", "je_malloc", "mi_heap_malloc", "tc_new"),
    "qMalloc(unsigned long)",
    "QArrayData::allocate(QArrayData**, long long, long long, long long, QArrayData::Option)",
    "QList<QString>::append(QString const&)",
    "boost::shared_ptr<Item> boost::make_shared<Item>()",
    "absl::lts_20230125::container_internal::raw_hash_set<int>::resize(unsigned long)",
    # Rust: symbols of the old mangling, of v0, and names in debug information
    *("__rust_alloc", "__rdl_alloc", "__rg_alloc", "__rustc[9b1e5bbd1d8f5c5e]::__rust_alloc"),
    "alloc::alloc::exchange_malloc",
    "alloc::alloc::{impl#1}::allocate",
    "alloc::raw_vec::finish_grow::h0123456789abcdef",
    "alloc::raw_vec::RawVecInner::with_capacity_in<alloc::alloc::Global>",
    "alloc[fdfd2bd8633a6659]::vec::from_elem::<u8>",
    "<alloc[fdfd2bd8633a6659]::vec::Vec<u8>>::push",
    "<alloc::vec::Vec<T,A> as core::clone::Clone>::clone::h0123456789abcdef",
    "<T as alloc::slice::hack::ConvertVec>::to_vec",
    "<&mut alloc::vec::Vec<u8> as std::io::Write>::write_all",
    "<alloc::alloc::Global as core::alloc::Allocator>::allocate",
    "<alloc::string::String as core::fmt::Write>::write_str",
    "core[c1f1a4ba060b9bfa]::ops::function::FnOnce::call_once::<fn(), ()>",
    "hashbrown::raw::RawTable<T,A>::reserve_rehash",
]
OTHERS = [
    *("main", "my_malloc_user", "strdupes", "operator newline", "Malloc", "operator new_thing"),
    *(
        "renew",
        "get_line",
        "fibonacci",
        "pool_strdup",
        "by_asprintf",
        "PyFunction_Call",
        "arena_alloc",
    ),
    *("parse_line.constprop.0", "main@@BASE", "__GI_main"),
    "stdx::vector<int>::push_back(int const&)",
    "mystd::vector::push_back",
    "cache::xmalloc(unsigned long)",
    "std_like(std::vector<int, std::allocator<int> > const&)",
    "void insert<std::vector<int> >(std::vector<int> const&)",
    "std::vector<int> cache::Table<int>::rows(std::string const&) const",
    "(anonymous namespace)::Cache::put(std::string const&)",
    "handle(std::string const&)::{lambda(std::string)#1}::operator()(std::string) const",
    "Cache::operator new(unsigned long)",
    "Cache::operator std::string() const",
    "core::Session::open(int)",
    "alloc::Arena::grow()",
    "<mycrate::Session as core::clone::Clone>::clone::h0123456789abcdef",
    "<mycrate[0123456789abcdef]::Session<alloc[fdfd2bd8633a6659]::vec::Vec<u8>>>::open",
    "mycrate::open::<alloc::vec::Vec<u8>>",
    None,
]


def caller_of(*frames, skip=()):
    return find_caller(frames, Wrappers(skip))


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrapper_is_passed_over(name):
    assert caller_of(Frame(1, function=name), Frame(2, function="main")).address == 2


@pytest.mark.parametrize("name", OTHERS)
def test_others_are_named(name):
    assert caller_of(Frame(1, function=name), Frame(2, function="main")).address == 1


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
    caller = caller_of(*frames)
    assert (caller and caller.address) == address


@pytest.mark.parametrize(
    ("module", "passed_over"),
    [
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", True),
        ("/lib64/libc-2.17.so", True),
        ("/lib/ld-musl-x86_64.so.1", True),
        ("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", True),
        ("/usr/lib/libtcmalloc_minimal.so.4.5.9", True),
        ("/usr/lib/libmimalloc.so.2.0", True),
        ("/usr/lib/libstdc++.so.6.0.30", True),
        ("/usr/lib/libcodec.so.2", False),
        ("/usr/lib/libcurl.so.4", False),
        ("/opt/libc.so.6/service", False),
        (None, False),
    ],
)
@pytest.mark.parametrize("function", [None, "unheard_of"])
def test_libraries(module, function, passed_over):
    frame = Frame(1, module=module, function=function)
    assert caller_of(frame, Frame(2, function="main")).address == (2 if passed_over else 1)


@pytest.mark.parametrize(
    ("skip", "address"),
    [
        ("pool_get", 2),
        ("pool_*", 2),
        ("*_get", 2),
        ("*ol*et*", 2),
        ("*", 1),
        ("pool", 1),
        ("pool_get_*", 1),
        ("*get*get", 1),
        ("POOL_GET", 1),
        ("pool_?et", 1),
        ("pool_[g]et", 1),
        ("", 1),
    ],
)
def test_globs_of_the_user(skip, address):
    frames = Frame(1, function="pool_get.isra.0"), Frame(2, function="main")
    assert caller_of(*frames, skip=[skip]).address == address


@pytest.mark.parametrize(
    "skip",
    ["Pool::get", "Pool<int>::get(int)", "Pool<*", "*::get(int)"],
    ids=["bare", "whole", "template", "parameters"],
)
def test_globs_match_bare_and_whole_names(skip):
    frames = Frame(1, function="Pool<int>::get(int)"), Frame(2, function="main")
    assert caller_of(*frames, skip=[skip]).address == 2
    assert caller_of(*frames).address == 1


SQLITE = "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0.8.6"
OTHER = "/usr/lib64/libxslt.so.1"
OWN = "/srv/app"


def stack_of(*frames):
    return [
        Frame(n, module=module, offset=n, function=function)
        for n, (module, function) in enumerate(frames, start=1)
    ]


@pytest.mark.parametrize(
    ("frames", "address"),
    [
        # nobody can look up an offset in a stripped library
        ([(SQLITE, None), (SQLITE, None), (OWN, "query"), (OWN, "main")], 3),
        ([(SQLITE, None), (OWN, None), (OWN, "main")], 2),
        ([(SQLITE, None), (SQLITE, "sqlite3_step"), (OWN, "query")], 3),
        ([(SQLITE, None), (OTHER, None), (OWN, "query")], 3),
        ([(SQLITE, None), (OTHER, "xsltParse"), (OWN, "query")], 2),
        ([("/lib64/libc.so.6", "strdup"), (SQLITE, None), (OWN, "main")], 3),
        # what has a symbol can be
        ([(SQLITE, "sqlite3_step"), (SQLITE, None), (OWN, "query")], 1),
        # a library of the program itself, and a plugin, are what the user wants to see
        ([("/srv/lib/libown.so", None), (OWN, "main")], 1),
        ([("/usr/lib/apache2/modules/mod_own.so", None), (OWN, "main")], 1),
        ([("/usr/lib/app/libown.so", None), (OWN, "main")], 1),
        ([(SQLITE, None), ("/usr/lib/python3/_sqlite3.cpython-311.so", None), (OWN, "eval")], 2),
        # code that was made at run time says even less
        ([(SQLITE, None), (None, None), (OWN, "main")], 3),
        # nobody else is there
        ([(SQLITE, None), (SQLITE, "worker"), ("/lib64/libc.so.6", "start_thread")], 1),
        ([("/lib64/libc.so.6", "strdup"), (SQLITE, None)], 2),
    ],
)
def test_library_without_symbols(frames, address):
    assert caller_of(*stack_of(*frames)).address == address


@pytest.mark.parametrize(
    ("glob", "address"),
    [
        ("libown*", 2),
        ("libown.so", 2),
        ("/srv/lib/*", 2),
        ("libown", 1),
        ("own*", 1),
        ("LIBOWN*", 1),
    ],
)
def test_modules_to_skip(glob, address):
    frames = stack_of(("/srv/lib/libown.so", "get"), (OWN, "main"))
    assert find_caller(frames, Wrappers((), [glob])).address == address


def test_everything_is_skipped():
    frames = stack_of(("/srv/lib/libown.so", "get"), (OWN, "main"))
    assert find_caller(frames, Wrappers((), ["*"])).address == 1
