"""The plan of the inline probe: what is hooked, what is refused, and which calls are its own."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest
from inline_plans import BIAS, DISTANCE, map_files, names_of, plan, plan_of
from small_libraries import build_library, function, hidden
from support.gdbs import debian_root
from support.libraries import LIBRARIES as ALLOCATORS
from support.libraries import find_library
from support.roots import HOST, LIBRARIES, library_of

from gdbleak.architectures import X86_64
from gdbleak.architectures.x86_64_moving import JUMP_BYTES, move
from gdbleak.effort import Effort
from gdbleak.elf.image import ElfImage
from gdbleak.errors import AllocatorError, ForeignBreakpointError, InlineRefusedError
from gdbleak.inline import hooks
from gdbleak.plan.breakpoints import place_probes
from gdbleak.plan.selection import Selection, parse_function
from gdbleak.recording.functions import FAMILIES, INTERNAL_FUNCTIONS, MALLOC_FAMILY
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.target.proc import read_mappings
from gdbleak.unwinding.code_walk import CodeWalk

PLAIN = "mov %rdi, %rax; mov %rsi, %rdx; ret"
MALLOC = function("malloc", PLAIN)
FREE = function("free", PLAIN)
INTERNAL = {function.name for function in INTERNAL_FUNCTIONS}


@pytest.fixture
def build(tmp_path):
    """Return a function that makes a library of some functions, and a name."""

    def build(*functions, name="libsmall.so", flags=("-Wl,-Bsymbolic",)):
        folder = tmp_path / name
        folder.mkdir()
        built = build_library(folder, *functions, flags=flags)
        return built.rename(folder / name)

    return build


@pytest.fixture(params=LIBRARIES)
def libc(request):
    """Return the C library of this host, and of each Debian."""
    if request.param == HOST:
        return host_libc()
    return library_of(debian_root(request.param)).resolve()


def host_libc():
    paths = (Path(mapping.path) for mapping in read_mappings(os.getpid()) if mapping.executable)
    return next(path for path in paths if re.match(r"libc[.-]", path.name))


def test_functions_of_a_c_library(libc):
    found = plan_of(libc)
    image = ElfImage(str(libc))
    defined = image.find_functions({function.name for function in MALLOC_FAMILY})
    addresses = {s.address for name, s in defined.items() if not name.endswith("_sized")}
    assert {hook.entry - BIAS for hook in found.hooks} == addresses
    for hook in found.hooks:
        assert hook.entry in (hook.patch, hook.patch - 4)
        assert len(hook.code) >= JUMP_BYTES
        assert image.read(hook.patch - BIAS, len(hook.code)) == hook.code
        assert hook.patch // 4096 == (hook.patch + JUMP_BYTES - 1) // 4096
        assert hook.allocator == 0
    assert found.notes == ()


@lru_cache
def calls_in(path):
    """Return the address and the target of each call of a file, by objdump."""
    command = ["objdump", "-d", "--no-show-raw-insn", path]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^ *([0-9a-f]+):\t(?:\S+ )??call +([0-9a-f]+) <(\S+)>", text, re.MULTILINE)
    return [(int(address, 16), int(target, 16), name) for address, target, name in found]


def test_whose_calls_are_those_of_a_c_library_itself(libc):
    """All that goes through the linkage table, and nothing else, is a call of the program."""
    found = plan_of(libc)
    own = range(*(address - BIAS for address in found.own_code))
    entries = {hook.entry - BIAS for hook in found.hooks}
    names = {f"{name}@plt" for name in ("malloc", "calloc", "realloc", "free")}
    calls = calls_in(libc)
    direct = {address for address, target, _ in calls if target in entries}
    linked = {address for address, _, name in calls if name in names}
    assert len(direct) >= 3
    assert len(linked) > 1000
    assert all(address in own for address in direct)
    assert not any(address in own for address in linked)


def test_what_glibc_does_for_itself_is_its_own(libc):
    """The functions that are known to call its allocator for itself, as far as they are hooked."""
    found, image = plan_of(libc), ElfImage(str(libc))
    module = Module(str(libc), BIAS, BIAS + DISTANCE, BIAS, None, str(libc))
    probes = place_probes(FAMILIES[0], module, image, X86_64, size_offset=-8)
    walk = CodeWalk(image, X86_64)
    internal = {walk.find_extent(p.address - BIAS) for p in probes if p.function in INTERNAL}
    entries = {hook.entry - BIAS for hook in found.hooks}
    own = range(*(address - BIAS for address in found.own_code))
    assert internal
    for extent in internal:
        calls = [a for a, target, _ in calls_in(libc) if a in extent and target in entries]
        assert all(address in own for address in calls)
        assert extent.start in own or not calls


@pytest.mark.parametrize("flag", ["-static", "-static-pie"])
def test_a_static_program(build_target, flag):
    program = build_target("exact.cpp", flag)
    found = plan_of(program)
    assert {"malloc", "calloc", "realloc", "free", "posix_memalign"} <= names_of(found)
    assert not [name for name in names_of(found) if name.startswith("_Z")]
    own = range(*(address - BIAS for address in found.own_code))
    image = ElfImage(str(program))
    entries = {hook.entry - BIAS for hook in found.hooks}
    inside = {a for a, target, _ in calls_in(program) if target in entries and a in own}
    callers = {image.find_extent(address).start for address in inside}
    of_glibc = ("realloc", "tcache_thread_shutdown", "__malloc_arena_thread_freeres")
    known = {s.address for s in image.find_functions(of_glibc).values()}
    assert inside
    assert callers <= known


def test_musl():
    path = Path("/usr/lib/x86_64-linux-musl/libc.so")
    if not path.exists():
        pytest.skip("musl is not installed: run .ci/setup test")
    found = plan_of(path)
    assert {"malloc", "calloc", "realloc", "free", "aligned_alloc"} <= names_of(found)
    own = range(*(address - BIAS for address in found.own_code))
    image = ElfImage(str(path))
    assert image.find_function("calloc").address in own
    assert image.find_function("posix_memalign").address in own
    assert image.find_function("strdup").address not in own


@pytest.mark.parametrize("name", ALLOCATORS)
def test_another_allocator(name):
    path = Path(find_library(ALLOCATORS[name]))
    found = plan_of(path, host_libc())
    assert {"malloc", "calloc", "realloc", "free", "posix_memalign"} <= names_of(found)
    # It may throw, and is left alone.
    assert not names_of(found) & {"_Znwm", "_Znam", "_ZnwmSt11align_val_t"}
    assert {"_ZnwmRKSt9nothrow_t"} <= names_of(found)
    image = ElfImage(str(path))
    for segment in image.segments:
        if segment.executable:
            own = BIAS + segment.address, BIAS + segment.address + segment.file_size
            assert found.own_code == own
    [note] = [note for note in found.notes if "glibc" in note]
    assert re.fullmatch(r"glibc \S+ is not recorded: its calls of its own .*", note)


def test_moved_instructions_run():
    """The copies of what is covered, each followed by a jump back, are called as the functions."""
    libc, path = ctypes.CDLL(None), host_libc()
    start = min(m.start for m in read_mappings(os.getpid()) if m.path == str(path))
    memory, modules = map_files([path], {path.name: start})
    planned = {hook.function.name: hook for hook in plan(memory, modules).hooks}
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    rights = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    page = libc.mmap(start - (64 << 20), 4096, rights, flags, -1, 0)
    copies = {}
    for number, (name, hook) in enumerate(planned.items()):
        at = page + number * 64
        moved = move(hook.code, hook.patch, at).code
        back = hook.patch + len(hook.code) - (at + len(moved) + JUMP_BYTES)
        code = moved + b"\xe9" + back.to_bytes(4, "little", signed=True)
        ctypes.memmove(at, code, len(code))
        arguments = [ctypes.c_size_t] * (3 if name == "posix_memalign" else 2)
        copies[name] = ctypes.CFUNCTYPE(ctypes.c_size_t, *arguments)(at)
    block = copies["malloc"](100, 0)
    ctypes.memset(block, 7, 100)
    block = copies["realloc"](block, 1 << 20)
    assert ctypes.string_at(block, 100) == bytes([7]) * 100
    copies["free"](block, 0)
    copies["free"](0, 0)
    block = copies["calloc"](3, 50)
    assert ctypes.string_at(block, 150) == bytes(150)
    copies["free"](block, 0)
    result = ctypes.c_size_t()
    assert copies["posix_memalign"](ctypes.addressof(result), 256, 1000) == 0
    assert result.value % 256 == 0
    copies["free"](result.value, 0)
    assert copies["aligned_alloc"](4096, 4096) % 4096 == 0
    assert copies["malloc"](1 << 62, 0) == 0
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.munmap(page, 4096)


def test_a_moved_call_runs(build):
    """A call that the jump covers as the last instruction returns to where it did."""
    called = hidden("called", "lea 5(%rdi), %rax; ret")
    caller = function("malloc", "push %rbx; call called; add $100, %rax; pop %rbx; ret")
    path = build(called, caller, FREE)
    library = ctypes.CDLL(str(path))
    start = min(m.start for m in read_mappings(os.getpid()) if m.path == str(path))
    [hook] = [
        h for h in plan_of(path, places={path.name: start}).hooks if h.function.name == "malloc"
    ]
    assert len(hook.code) == 6
    with_copy = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    at = ctypes.addressof(ctypes.c_char.from_buffer(with_copy))
    moved = move(hook.code, hook.patch, at).code
    ctypes.memmove(at, moved, len(moved))
    assert library.malloc(1) == 106
    assert ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_size_t)(at)(1) == 106


SMALL = {
    "plain": ([MALLOC, FREE], {"malloc": 0, "free": 0}),
    "endbr64 stays": (
        [function("malloc", f"endbr64; {PLAIN}"), FREE],
        {"malloc": 4, "free": 0},
    ),
    "a function of a jump": (
        [function("malloc", "jmp large"), FREE, ".skip 300\n", hidden("large", PLAIN)],
        {"malloc": 0, "free": 0},
    ),
    "aliases once": (
        [
            "    .globl memalign\n    .type memalign, @function\nmemalign:\n",
            *(function("aligned_alloc", PLAIN), MALLOC, FREE),
        ],
        {"malloc": 0, "free": 0, "aligned_alloc": 0},
    ),
    "what only jumps to free": (
        [MALLOC, FREE, function("cfree", "nop; jmp free"), function("_ZdlPv", "jmp cfree")],
        {"malloc": 0, "free": 0},
    ),
    "what also frees in another way": (
        [MALLOC, FREE, function("cfree", "test %rdi, %rdi; je 1f; nop; jmp free; 1: ret")],
        {"malloc": 0, "free": 0, "cfree": 0},
    ),
    "operators that call malloc": (
        [MALLOC, FREE, function("_Znwm", "push %rbx; call malloc; pop %rbx; ret")],
        {"malloc": 0, "free": 0},
    ),
    "a switch elsewhere": (
        [
            *(FREE, hidden("other", PLAIN)),
            function("malloc", f"lea table(%rip), %rax; movslq (%rax,%rdi,4), %rdx; {PLAIN}"),
            "table: .long other - table, malloc + 20 - table, 0\n",
        ],
        {"malloc": 0, "free": 0},
    ),
    "branches to the beginning": (
        [MALLOC, FREE, function("strdup", "jmp malloc"), function("other", "je free; ret")],
        {"malloc": 0, "free": 0},
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_library(build, name):
    functions, expected = SMALL[name]
    path = build(*functions)
    found = plan_of(path)
    assert {h.function.name: h.patch - h.entry for h in found.hooks} == expected
    assert found.notes == ()


PAGE_END = "    .p2align 12\n    .skip 4096 - 4\n"
REFUSED = {
    "a function of four bytes": (
        [function("malloc", "mov %rdi, %rax; ret"), FREE],
        "malloc of .*libsmall.so has no place for a jump: it has 4 bytes",
    ),
    "a short jump": ([function("malloc", "jmp 1f; nop; nop; 1: nop; ret"), FREE], "a jump within"),
    "a call by a register": ([function("malloc", f"call *%rax; {PLAIN}"), FREE], "call rax"),
    "a return": ([function("malloc", "xor %eax, %eax; ret; nop; nop; nop"), FREE], "a return"),
    "the end of a page": (
        [PAGE_END, MALLOC, FREE],
        "a page ends in its first bytes",
    ),
    "a branch into it from itself": (
        [function("malloc", f"mov %rdi, %rax; 1: {PLAIN}; jmp 1b"), FREE],
        r"malloc of .* leads to 0x",
    ),
    "a branch into it from another function": (
        [MALLOC, FREE, ".skip 4096\n", function("other", "je free + 3; ret")],
        r"free of .* leads to 0x",
    ),
    "a short branch into it from the function before": (
        [FREE, function("other", "je malloc + 3; ret"), MALLOC],
        r"malloc of .* leads to 0x",
    ),
    "a short branch into it from code that is no function": (
        [FREE, MALLOC, "    loop malloc + 3\n"],
        r"malloc of .* leads to 0x",
    ),
    "a reference into it": (
        [MALLOC, FREE, function("other", "lea malloc + 3(%rip), %rax; ret")],
        r"malloc of .* leads to 0x",
    ),
    "a switch in it": (
        [
            FREE,
            function("malloc", f"{PLAIN}; lea table(%rip), %rdx"),
            "table: .long malloc + 10 - table, malloc + 3 - table, 0\n",
        ],
        r"malloc of .* leads to 0x",
    ),
    "another function in it": (
        [
            "    .globl other\n    .type other, @function\n    .set other, malloc + 3\n",
            *(MALLOC, FREE),
        ],
        r"another function begins at 0x\w+ in it",
    ),
    "a function in another one": (
        [
            *(function("outer", "nop; malloc: nop; " + PLAIN), FREE),
            "    .globl malloc\n    .type malloc, @function\n",
        ],
        r"it begins in the function at 0x",
    ),
    "a function whose end nobody knows": (
        [FREE, "    .globl malloc\n    .type malloc, @function\n    malloc: jmp free\n"],
        "the file does not tell where it ends",
    ),
    "what throws in a program": (
        [MALLOC, FREE, function("_Znwm", PLAIN), function("__cxa_throw", PLAIN)],
        "`operator new` of .* may throw an exception",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(build, name):
    functions, reason = REFUSED[name]
    with pytest.raises(InlineRefusedError, match=reason) as raised:
        plan_of(build(*functions))
    assert raised.value.exit_code == AllocatorError.exit_code
    assert "--probe breakpoint" in raised.value.help_text


def test_a_function_that_is_chosen_when_the_program_starts(build):
    indirect = MALLOC.replace("@function", "@gnu_indirect_function")
    with pytest.raises(AllocatorError, match="chosen among several"):
        plan_of(build(indirect, FREE))


def test_another_architecture(build):
    path = build(MALLOC, FREE)
    data = bytearray(path.read_bytes())
    data[18:20] = (183).to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(InlineRefusedError, match="not a file of x86-64"):
        plan_of(path)


def test_a_breakpoint_in_memory(build):
    memory, modules = map_files([build(MALLOC, FREE)])
    [hook] = [hook for hook in plan(memory, modules).hooks if hook.function.name == "free"]
    memory.write(hook.patch + 3, b"\xcc")
    with pytest.raises(ForeignBreakpointError, match="the code of free in memory differs"):
        plan(memory, modules)


def test_memory_that_cannot_be_read(build):
    memory, modules = map_files([build(MALLOC, FREE)])
    memory.pages.clear()
    with pytest.raises(InlineRefusedError, match="cannot be read"):
        plan(memory, modules)


def test_a_file_that_takes_too_long(build, monkeypatch):
    memory, modules = map_files([build(MALLOC, FREE)])
    monkeypatch.setattr(hooks, "Effort", lambda: Effort(steps=100))
    with pytest.raises(InlineRefusedError, match="was not read to its end"):
        plan(memory, modules)


def test_mappings_are_not_recorded_inline(build):
    path = build(MALLOC, FREE, function("mmap", PLAIN))
    assert names_of(plan_of(path)) == {"malloc", "free"}
    with pytest.raises(InlineRefusedError, match=r"mmap .* not recorded inline"):
        plan_of(path, selection=Selection(mappings=True))


OPERATORS = [function(name, PLAIN) for name in ("_Znwm", "_ZnwmRKSt9nothrow_t", "_ZdlPv")]
JEMALLOC = ("-Wl,-soname,libjemalloc.so.2", "-Wl,-Bsymbolic")


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("runtime", [True, False])
def test_an_allocator_library_with_operators(build, runtime, used):
    """Without a runtime of C++, nobody calls `operator new`; with one, others may not either."""
    library = build(MALLOC, FREE, *OPERATORS, name="libjemalloc.so.2", flags=JEMALLOC)
    user = function("user", "call _Znwm@plt; ret" if used else PLAIN)
    paths = [library, build(user, name="libuser.so", flags=())]
    if runtime:
        paths.append(build(function("__cxa_throw", "ret"), name="libstdc++.so.6.0.30"))
    if used and runtime:
        with pytest.raises(InlineRefusedError, match=r"operator new.* which .*libuser\.so calls"):
            plan_of(*paths)
        return
    found = plan_of(*paths)
    assert names_of(found) == {"malloc", "free", "_ZnwmRKSt9nothrow_t", "_ZdlPv"}
    assert len(found.notes) == runtime


ENDING = [
    function("ends", "sub $24, %rsp; .cfi_adjust_cfa_offset 24; call abort@plt"),
    "    .nops 8\n",
]
"""A function that ends in a call that never returns, and room for a jump behind it."""
USER = function("user", "call _Znwm@plt; ret")


def files_with_pads(build, of_allocator, of_libc):
    """Return an allocator, what uses it, a C library and a runtime of C++."""
    allocator = [MALLOC, FREE, *OPERATORS, *(ENDING if of_allocator else ()), function("e", PLAIN)]
    return [
        build(*allocator, name="libjemalloc.so.2", flags=JEMALLOC),
        build(USER, name="libuser.so", flags=()),
        build(*(ENDING if of_libc else ()), function("end", PLAIN), name="libc.so.6"),
        build(function("__cxa_throw", "ret"), name="libstdc++.so.6.0.30"),
    ]


@pytest.mark.parametrize("place", ["libjemalloc.so.2", "libc.so.6"])
def test_what_throws_returns_to_a_pad(build, place):
    paths = files_with_pads(build, place == "libjemalloc.so.2", of_libc=True)
    found = plan_of(*paths)
    assert names_of(found) == {"malloc", "free", "_Znwm", "_ZnwmRKSt9nothrow_t", "_ZdlPv"}
    assert {hook.function.name for hook in found.hooks if hook.throws} == {"_Znwm"}
    assert Path(found.pad.path).name == place
    assert found.notes == ()


def test_a_pad_that_is_too_far_away(build):
    paths = files_with_pads(build, of_allocator=False, of_libc=True)
    with pytest.raises(InlineRefusedError, match="may throw an exception"):
        plan_of(*paths, places={"libc.so.6": BIAS + (1 << 40)})


def test_a_shadow_stack_knows_where_functions_return_to(build):
    memory, modules = map_files(files_with_pads(build, of_allocator=True, of_libc=True))
    assert plan(memory, modules).pad
    with pytest.raises(InlineRefusedError, match=r"operator new.*: the process has a shadow stack"):
        plan(memory, modules, has_shadow_stack=True)


def test_a_shadow_stack_and_nothing_that_throws(build):
    memory, modules = map_files([build(MALLOC, FREE)])
    assert names_of(plan(memory, modules, has_shadow_stack=True)) == {"malloc", "free"}


def test_a_shadow_stack_and_a_call_that_would_be_moved(build):
    called = hidden("called", "lea 5(%rdi), %rax; ret")
    caller = function("malloc", "push %rbx; call called; add $100, %rax; pop %rbx; ret")
    memory, modules = map_files([build(called, caller, FREE)])
    assert plan(memory, modules).hooks
    with pytest.raises(InlineRefusedError, match=r"malloc .* a call in it.* shadow stack"):
        plan(memory, modules, has_shadow_stack=True)


def test_in_an_allocator_library_all_calls_are_its_own(build):
    """So `operator delete` that calls `free` is recorded; one that jumps to it is not twice."""
    functions = [
        *(MALLOC, FREE, function("_ZdlPv", "push %rbx; call free; pop %rbx; ret")),
        function("_ZdaPv", "jmp _ZdlPv"),
    ]
    found = plan_of(build(*functions, name="libjemalloc.so.2", flags=JEMALLOC))
    assert names_of(found) == {"malloc", "free", "_ZdlPv"}


POOL = Selection(
    functions=(
        parse_function("pool_get:size=1", allocates=True),
        parse_function("pool_put:ptr=1", allocates=False),
    )
)
POOLS = [function("pool_get", PLAIN), function("pool_put", PLAIN)]


def test_functions_that_the_user_names(build):
    path = build(MALLOC, FREE, *POOLS)
    assert names_of(plan_of(path, selection=POOL)) == {"malloc", "free", "pool_get", "pool_put"}


def test_functions_that_the_user_names_may_throw(build):
    paths = [build(MALLOC, FREE, *POOLS), build(function("f", "ret"), name="libgcc_s.so.1")]
    with pytest.raises(InlineRefusedError, match=r"exception of .*libgcc_s.* may leave pool_get"):
        plan_of(*paths, selection=POOL)


def test_functions_that_the_user_names_return_to_a_pad(build):
    paths = [
        build(MALLOC, FREE, *POOLS, *ENDING, function("e", PLAIN)),
        build(function("f", "ret"), name="libgcc_s.so.1"),
    ]
    found = plan_of(*paths, selection=POOL)
    assert {hook.function.name for hook in found.hooks if hook.throws} == {"pool_get"}
    out = Selection(functions=(parse_function("pool_get:size=1,result=2", allocates=True),))
    with pytest.raises(InlineRefusedError, match="may leave pool_get"):
        plan_of(*paths, selection=out)


def test_functions_that_the_user_names_are_recorded_or_nothing_is(build):
    libc, program = build(MALLOC, FREE), build(*POOLS, name="program")
    assert len(plan_of(libc, program, selection=POOL).hooks) == 4
    with pytest.raises(InlineRefusedError, match=r"no 1,536 unused bytes .* near .*program"):
        plan_of(libc, program, selection=POOL, places={"program": BIAS - (1 << 40)})


def test_an_allocator_that_is_too_far_away_is_left_out(build):
    other = build(function("je_malloc", PLAIN), function("je_free", PLAIN), name="libother.so")
    first = build(MALLOC, FREE)
    assert {hook.allocator for hook in plan_of(first, other).hooks} == {0, 1}
    found = plan_of(first, other, places={"libother.so": BIAS + (1 << 32)})
    assert {hook.allocator for hook in found.hooks} == {0}
    [note] = found.notes
    assert re.match(r"jemalloc in libother\.so is not recorded: no 1,536 unused bytes", note)


OWN = {
    "no call of its own": ([MALLOC, FREE], None),
    "realloc calls both": (
        [
            *(MALLOC, FREE, hidden("user", "call malloc; ret")),
            function("realloc", "begin: mov %rdi, %rax; call malloc; call free; ret; end: nop"),
        ],
        "realloc",
    ),
    "what realloc calls": (
        [
            *(MALLOC, FREE, hidden("user", "call malloc; ret")),
            hidden("move", "begin: call malloc; call free; ret; end: nop"),
            function("realloc", "mov %rdi, %rax; call move; ret"),
        ],
        "move",
    ),
    "what realloc calls, and what ends in a jump to free": (
        [
            *(MALLOC, FREE, hidden("drop", "nop; jmp free"), hidden("user", "jmp free")),
            hidden("more", "call drop; nop"),
            function("realloc", "mov %rdi, %rax; mov %rax, %rdi; call more; ret"),
        ],
        "more",
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_own_calls_of_a_program(build, name):
    functions, own = OWN[name]
    path = build(*functions)
    found = plan_of(path)
    start, stop = found.own_code
    if own is None:
        assert start == stop
    else:
        symbol = ElfImage(str(path)).find_function(own)
        assert (start, stop) == (symbol.address + BIAS, symbol.address + symbol.size + BIAS)


def test_own_calls_that_cannot_be_told_from_the_programs(build):
    functions = [
        *(MALLOC, function("calloc", "mov %rdi, %rax; call malloc; ret")),
        hidden("user", "call malloc; ret"),
        *(FREE, function("realloc", "mov %rdi, %rax; call malloc; ret")),
    ]
    with pytest.raises(InlineRefusedError, match="cannot be told from the one at"):
        plan_of(build(*functions))


VERSION = '    .ascii "GNU C Library (small) version 2.41\\n"\n'
OWN_NAMES = {name: f"    .hidden own_{name}\nown_{name}:\n" for name in ("malloc", "free")}
"""By which glibc calls its functions without the linkage table."""


def test_what_glibc_jumps_to_returns_to_its_caller(build):
    """The start of a cache is called, and jumps to `free`, which so returns behind the call."""
    functions = [
        *(hidden("slow", "call start; ret"), OWN_NAMES["malloc"], MALLOC),
        *(OWN_NAMES["free"], FREE, hidden("start", "nop; jmp own_free"), VERSION),
        *(function("strdup", "call malloc@plt; ret"), function("cfree", "jmp free@plt")),
    ]
    path = build(*functions, name="libc.so.6", flags=("-Wl,-soname,libc.so.6",))
    found = plan_of(path)
    image = ElfImage(str(path))
    slow, free = (image.find_function(name) for name in ("slow", "free"))
    assert found.own_code == (slow.address + BIAS, free.address + free.size + BIAS)
    assert names_of(found) == {"malloc", "free"}


def test_a_call_of_the_program_among_those_of_glibc(build):
    functions = [
        *(hidden("end", "call own_free; ret"), function("strdup", "call malloc@plt; ret")),
        *(OWN_NAMES["malloc"], MALLOC, OWN_NAMES["free"], FREE, VERSION),
    ]
    path = build(*functions, name="libc.so.6", flags=("-Wl,-soname,libc.so.6",))
    with pytest.raises(InlineRefusedError, match="cannot be told from the one at"):
        plan_of(path)


def test_a_glibc_that_a_linker_has_spread(build):
    functions = [MALLOC, FREE, VERSION, "    .skip 300000\n", function("realloc", PLAIN)]
    plan_of(build(*functions, name="libother.so"))  # it only says that it is one
    functions.append(function("__malloc_arena_thread_freeres", PLAIN))
    with pytest.raises(InlineRefusedError, match=r"its malloc\.c is in many parts"):
        plan_of(build(*functions))


def test_nothing_is_hooked_without_a_module():
    with pytest.raises(AllocatorError):
        plan(map_files([])[0], ModuleMap(()))
