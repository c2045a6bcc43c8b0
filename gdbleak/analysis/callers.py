"""Which frame of a call stack a person would name: the first that allocates for itself. Pure.

Wrappers allocate for whoever calls them, and are told by their names. The tables here list them,
and the user can add to them. Of a library of the system without symbols nothing could be named but
offsets, and so it is passed over too, if somebody has called it. They never take a frame out of a
call stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from posixpath import basename

from gdbleak.report.model import Frame
from gdbleak.text.names import qualified

_FUNCTIONS = {
    "C++": "operator new, operator new[], std::*, __gnu_cxx::*, __cxa_*",
    "C library: allocators": """
        malloc, calloc, realloc, reallocarray, memalign, aligned_alloc, posix_memalign, valloc,
        pvalloc, __libc_*, __malloc, __malloc_*, __calloc, __realloc, __memalign, __posix_memalign,
        _mid_memalign*
    """,
    "C library: what allocates for its caller": """
        strdup, strndup, wcsdup, __strdup, __strndup, __wcsdup, asprintf, vasprintf, __asprintf*,
        ___asprintf*, __vasprintf*, getline, getdelim, __getline, __getdelim, open_memstream,
        open_wmemstream, fopen, fopen64, fdopen, freopen, fmemopen, popen, __fopen*, _IO_*, opendir,
        fdopendir, scandir, __opendir*, __alloc_dir, __scandir*, realpath, __realpath*,
        realpath_stk, canonicalize_file_name, getcwd, __getcwd*, get_current_dir_name, tempnam,
        setenv, putenv, __add_to_environ, setlocale, newlocale, regcomp, getaddrinfo, getifaddrs,
        gethostby*, pthread_create, __pthread_create*, allocate_stack, dlopen, __dlopen*, _dl_*
    """,
    "other allocators": """
        je_*, _rjem_*, tc_*, tcmalloc::*, mi_*, _mi_*, rp*alloc, snmalloc::*, scudo::*,
        scalable_*alloc*, rml::internal::*, bmalloc::*, WTF::fastMalloc
    """,
    "home-made": """
        xmalloc*, xcalloc*, xrealloc*, xzalloc*, xnmalloc, xnrealloc, x2nrealloc, xpalloc, xmemdup*,
        xstrdup*, xstrndup*, xasprintf*, xvasprintf*, safe_malloc*, safe_calloc*, safe_realloc*,
        safe_strdup*, safemalloc, saferealloc, smalloc, srealloc, emalloc, ecalloc, ckalloc*,
        ckrealloc*, zmalloc*, zcalloc*, zrealloc*, ztry*alloc*, zstrdup
    """,
    "GLib": """
        g_vasprintf, g_strsplit*, g_build_path*, g_build_filename*, g_build_pathv, g_bytes_new*,
        g_malloc*, g_try_malloc*, g_realloc*, g_try_realloc*, g_aligned_alloc*, g_slice_alloc*,
        g_slice_copy, g_memdup*, g_strdup*, g_strndup, g_strconcat, g_strjoin*, g_string_*,
        g_array_*, g_byte_array_*, g_ptr_array_*, g_hash_table_*, g_list_*, g_slist_*, g_queue_*,
        g_object_new*, g_type_create_instance
    """,
    "Python": """
        PyMem_*, _PyMem_*, pymalloc_*, new_arena, PyObject_Malloc, PyObject_Calloc,
        PyObject_Realloc, _PyObject_Malloc, _PyObject_Calloc, _PyObject_Realloc, _PyObject_Arena*,
        _PyObject_New*, _PyObject_GC_*, gc_alloc, PyType_GenericAlloc, _PyType_AllocNoTrack,
        PyUnicode_New, PyBytes_From*, _PyBytes_Resize
    """,
    "Perl": """
        Perl_safesys*, Perl_savepv*, Perl_savesvpv, Perl_savesharedpv*, Perl_sv_grow*, Perl_newSV*,
        Perl_more_bodies, Perl_more_sv, S_more_sv, Perl_av_extend*, Perl_sv_setpv*, Perl_sv_setsv*,
        Perl_newAV*, Perl_newHV*, Perl_hv_common*, Perl_malloc, Perl_realloc, Perl_calloc
    """,
    "Ruby": """
        ruby_xmalloc*, ruby_xcalloc*, ruby_xrealloc*, ruby_strdup, rb_xmalloc*, rb_xcalloc*,
        rb_xrealloc*, rb_gc_impl_malloc*, rb_gc_impl_calloc*, rb_gc_impl_realloc*,
        objspace_xmalloc*, objspace_xcalloc*, objspace_xrealloc*, rb_alloc_tmp_buffer*,
        st_init_table*
    """,
    "Node.js, libuv": """
        node::Malloc, node::Calloc, node::Realloc, node::UncheckedMalloc, node::UncheckedCalloc,
        node::UncheckedRealloc, v8::internal::Malloced::*, v8::internal::AllocWithRetry,
        v8::base::Malloc, v8::base::Calloc, uv__malloc, uv__calloc, uv__realloc*, uv__strdup,
        uv__strndup
    """,
    "Java": "os::malloc, os::realloc, os::strdup*, AllocateHeap, ReallocateHeap",
    "Lua, Tcl": "l_alloc, luaM_*, Tcl_Alloc, Tcl_Realloc, Tcl_Attempt*lloc, TclpAlloc, TclpRealloc",
    "Qt": """
        qMalloc, qRealloc, qMallocAligned, qReallocAligned, QArrayData::*, QTypedArrayData::*,
        QArrayDataPointer::*, QListData::*, QHashData::*, QHashPrivate::*, QMapDataBase::*,
        QMapData::*, QtPrivate::*, QString::*, QByteArray::*, QList::*, QVector::*, QHash::*,
        QMap::*, QSet::*, QMultiHash::*, QMultiMap::*, QVarLengthArray::*, QSharedPointer::create
    """,
    "other libraries of C++": """
        boost::container::*, boost::unordered::*, boost::detail::*, boost::make_shared,
        boost::allocate_shared, boost::shared_ptr::*, boost::pool::*, absl::*_internal::*,
        absl::flat_hash_*, absl::node_hash_*, folly::fbstring_core::*, fmt::*, llvm::safe_malloc,
        llvm::allocate_buffer
    """,
    "Rust": """
        __rust_*, __rustc::*, __rdl_*, __rg_*, exchange_malloc, hashbrown::*, alloc::alloc::*,
        alloc::raw_vec::*, alloc::vec::*, alloc::string::*, alloc::boxed::*, alloc::rc::*,
        alloc::sync::*, alloc::slice::*, alloc::str::*, alloc::fmt::*, alloc::borrow::*,
        alloc::collections::*, alloc::ffi::*, core::alloc::*, core::ptr::*, core::ops::*,
        core::iter::*, core::slice::*, core::str::*, core::fmt::*, core::clone::*,
        core::convert::*, core::result::*, core::option::*, core::default::*, core::array::*
    """,
    "SQLite": """
        sqlite3*Malloc*, sqlite3*Realloc*, sqlite3_malloc*, sqlite3_realloc*, sqlite3*MPrintf,
        sqlite3_*mprintf, sqlite3DbStrDup, sqlite3DbStrNDup, mallocWithAlarm, dbMallocRawFinish,
        dbReallocFinish, pcache1Alloc
    """,
    "OpenSSL": """
        CRYPTO_*alloc*, CRYPTO_strdup, CRYPTO_strndup, CRYPTO_memdup, OPENSSL_*alloc*,
        OPENSSL_strdup, BUF_strdup, BUF_MEM_grow*
    """,
    "libxml2": """
        xmlMalloc*, xmlRealloc*, xmlMem*alloc*, xmlMemStrdup*, xmlMemoryStrdup, xmlStrdup,
        xmlStrndup, xmlCharStrdup, xmlBuf*Resize, xmlBuf*Grow*
    """,
    "curl": "Curl_*alloc*, curl_dbg_*, Curl_strdup, Curl_memdup*, Curl_dyn_*, dyn_nappend",
    "APR": """
        apr_palloc*, apr_pcalloc*, apr_pmemdup, apr_pstr*, apr_psprintf, apr_pvsprintf,
        apr_allocator_alloc, allocator_alloc, apr_pool_create*
    """,
    "nginx": "ngx_alloc, ngx_calloc, ngx_memalign, ngx_p*alloc*, ngx_create_pool, ngx_pstrdup",
    "MySQL": "my_malloc, my_realloc, my_multi_malloc, my_strdup, my_strndup, alloc_root",
    "talloc, libevent, jansson": """
        talloc_*, _talloc_*, __talloc*, event_mm_*, jsonp_malloc, jsonp_strdup, jsonp_strndup
    """,
    "PHP": """
        _emalloc*, _ecalloc*, _erealloc*, _estrdup, _estrndup, _safe_*alloc, __zend_*alloc,
        zend_mm_*
    """,
    "FFmpeg": """
        av_malloc*, av_calloc, av_realloc*, av_strdup, av_strndup, av_memdup, av_fast_*alloc*,
        av_buffer_alloc*
    """,
    "PostgreSQL": """
        palloc*, repalloc*, pstrdup, pnstrdup, psprintf, pg_malloc*, pg_strdup,
        MemoryContextAlloc*, MemoryContextStrdup, AllocSet*, GenerationAlloc*
    """,
    "zlib": "zcalloc, zlibAllocMem",
}
"""Globs of bare names (see `gdbleak.text.names.qualified`); a `*` stands for anything."""

_LIBRARIES = """
    libc.so.*, libc-2.*.so, libc.musl-*, ld-musl-*, ld-linux*, libpthread.so.*, libpthread-2.*.so,
    libstdc++.so*, libc++.so*, libc++abi.so*, libgcc_s.so*, libjemalloc.so*, libtcmalloc*.so*,
    libmimalloc*.so*, libsnmalloc*.so*, librpmalloc*.so*, libtbbmalloc*.so*, libhoard.so*,
    libscudo*.so*
"""
"""Globs of file names: whatever lies in them is passed over, with or without a name."""


_SYSTEM = re.compile(r"/(usr/(local/)?)?lib[^/]*/([^/]*-linux-[^/]*/)?lib[^/]*\.so[^/]*")
"""Paths of libraries that the system has installed for everybody; a program's own lie elsewhere."""


class Wrappers:
    """The frames that are not named as callers: those of the tables, and those that globs match.

    A glob of `more` may match the bare name, or the whole one as it stands in the JSON report; one
    of `modules` the file name of a program or library, or its path.
    """

    def __init__(self, more: Iterable[str] = (), modules: Iterable[str] = ()) -> None:
        self._more = _Globs(more)
        self._modules = _Globs(modules)
        self._functions = _Globs(_split(",".join(_FUNCTIONS.values())))
        self._libraries = _Globs(_split(_LIBRARIES))
        self._known: dict[str, bool] = {}
        self._known_modules: dict[str, bool] = {}

    def hold(self, frame: Frame) -> bool:
        """Tell whether a frame is passed over."""
        if frame.module and self._hold_module(frame.module):
            return True
        name = frame.function
        if name is None:
            return False
        if name not in self._known:
            bare = qualified(name)
            self._known[name] = (
                self._functions.match(bare) or self._more.match(bare) or self._more.match(name)
            )
        return self._known[name]

    def _hold_module(self, path: str) -> bool:
        if path not in self._known_modules:
            name = basename(path)
            self._known_modules[path] = (
                self._libraries.match(name)
                or self._modules.match(name)
                or self._modules.match(path)
            )
        return self._known_modules[path]


def find_caller(frames: Iterable[Frame], wrappers: Wrappers) -> Frame | None:
    """Return the innermost frame that is not a wrapper, and that a person can look up.

    A library of the system without a symbol for a frame is passed over, with all of its frames, if
    other code has called it. Where everything would be, that is the innermost frame that is not a
    wrapper; the innermost if all are wrappers. Without frames, it is None.
    """
    frames = list(frames)
    others = [frame for frame in frames if not wrappers.hold(frame)]
    nameless: set[str | None] = set()
    for frame in others:
        if is_nameless(frame):
            nameless.add(frame.module)
        elif not nameless or (frame.module and frame.module not in nameless):
            return frame
    return (*others, *frames, None)[0]


def is_nameless(frame: Frame) -> bool:
    """Tell whether a frame lies in a library of the system that has no symbol for it."""
    return frame.function is None and bool(_SYSTEM.fullmatch(frame.module or ""))


class _Globs:
    """Patterns in which only `*` is special: brackets and question marks are parts of names."""

    def __init__(self, globs: Iterable[str]) -> None:
        self._exact = set()
        self._patterns = []
        for glob in globs:
            first, *others = glob.split("*")
            if others:
                self._patterns.append((first, others[:-1], others[-1]))
            else:
                self._exact.add(glob)

    def match(self, text: str) -> bool:
        """Tell whether a pattern matches the whole text."""
        return text in self._exact or any(
            text.startswith(first) and _ends_behind(text, len(first), middle, last)
            for first, middle, last in self._patterns
        )


def _ends_behind(text: str, start: int, middle: Iterable[str], last: str) -> bool:
    """Tell whether these parts of a pattern follow each other in the text; the last ends it."""
    for part in middle:
        found = text.find(part, start)
        if found < 0:
            return False
        start = found + len(part)
    return len(text) - start >= len(last) and text.endswith(last)


def _split(table: str) -> Iterator[str]:
    return (glob for glob in re.split(r"\s*,\s*", table.strip()) if glob)
