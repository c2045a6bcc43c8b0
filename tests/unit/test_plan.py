"""The probe plan: on this host's C library, and on small libraries that leave in every way."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from small_libraries import build_library, function, marks

from gdbleak.architectures import X86_64
from gdbleak.elf.image import ElfImage
from gdbleak.errors import AllocatorError
from gdbleak.plan.breakpoints import find_sentinel, place_probes
from gdbleak.recording.functions import FAMILIES, INTERNAL_FUNCTIONS, MALLOC_FAMILY, SIZED_FREES
from gdbleak.recording.modules import Module
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe, Role
from gdbleak.target.proc import read_mappings

BIAS = 0x7F00_0000_0000


def plan_of(path, functions=MALLOC_FAMILY):
    module = Module(str(path), BIAS, BIAS + 0x1000_0000, BIAS, None, str(path))
    return place_probes(functions, module, ElfImage(str(path)), X86_64)


@pytest.fixture(scope="module")
def libc():
    """Return the path of the C library of this process."""
    paths = (Path(mapping.path) for mapping in read_mappings(os.getpid()) if mapping.executable)
    return next(path for path in paths if re.match(r"libc[.-]", path.name))


@pytest.fixture(scope="module")
def plan(libc):
    return plan_of(libc)


def disassemble(path, name):
    """Return address, mnemonic and operands of each instruction of a function, by objdump."""
    function = ElfImage(str(path)).find_function(name)
    span = (function.address, function.address + function.size)
    command = ["objdump", "-d", "--no-show-raw-insn", "--start-address=%d", "--stop-address=%d"]
    text = subprocess.run(
        [*command[:3], command[3] % span[0], command[4] % span[1], path],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = re.findall(r"^ *([0-9a-f]+):\t(?:bnd )?(\S+) *(.*)$", text, re.MULTILINE)
    return [(int(address, 16), mnemonic, rest) for address, mnemonic, rest in lines]


def exits(plan):
    return {probe.address - BIAS for probe in plan if probe.role is Role.RETURN}


def escapes(plan):
    return {probe.address - BIAS for probe in plan if probe.role is Role.ESCAPE}


@pytest.mark.parametrize("name", ["malloc", "calloc", "realloc", "posix_memalign", "valloc"])
def test_every_ret_of_the_c_library_is_planned(libc, plan, name):
    rets = {address for address, mnemonic, _ in disassemble(libc, name) if mnemonic == "ret"}
    assert rets <= exits(plan)
    assert rets or name not in ("malloc", "realloc")


def test_every_exit_is_a_ret_or_a_jump(libc, plan):
    image = ElfImage(str(libc))
    codes = {
        probe.original: bytes.fromhex(probe.original) for probe in plan if probe.role is Role.RETURN
    }
    assert set(codes) <= {"c3", "c2", "f3", "f2", "e9", "eb"}
    for probe in plan:
        assert probe.original == image.read(probe.address - BIAS, 1).hex()


def test_jump_of_calloc_to_memset_is_planned_with_its_first_argument(libc, plan):
    inside = range(disassemble(libc, "calloc")[0][0], disassemble(libc, "calloc")[-1][0] + 1)
    jumps = {
        address
        for address, mnemonic, rest in disassemble(libc, "calloc")
        if mnemonic == "jmp" and "plt" in rest and int(rest.split()[0], 16) not in inside
    }
    planned = {p.address - BIAS for p in plan if p.role is Role.RETURN and p.registers[1] == "rdi"}
    assert planned == jumps


def test_free_is_probed_at_its_entry_alone(libc, plan):
    function = ElfImage(str(libc)).find_function("free")
    span = range(function.address, function.address + function.size)
    (probe,) = (probe for probe in plan if probe.address - BIAS in span)
    assert (probe.address - BIAS, probe.role) == (span.start, Role.ENTRY)


def test_entries_of_the_c_library(libc, plan):
    entries = {probe.function: probe for probe in plan if probe.role is Role.ENTRY}
    image = ElfImage(str(libc))
    names = [function.name for function in MALLOC_FAMILY if function not in SIZED_FREES]
    defined = {name: image.find_function(name) for name in names}
    addresses = {BIAS + function.address for function in defined.values() if function}
    assert {probe.address for probe in entries.values()} == addresses
    for name in ("malloc", "calloc", "realloc", "posix_memalign", "free"):
        assert entries[name].address == BIAS + defined[name].address
    assert entries["malloc"].registers == ("rsp", "rdi")
    assert entries["calloc"].registers == ("rsp", "rdi", "rsi")
    assert entries["posix_memalign"].registers == ("rsp", "rdi", "rdx")
    assert [p.function for p in plan if p.out_register] == ["posix_memalign"]
    assert entries["posix_memalign"].out_register == "rdi"


@pytest.fixture(scope="module")
def sized(libc):
    """Return a function that makes a plan where sizes stand before the blocks."""
    module = Module(str(libc), BIAS, BIAS + 0x1000_0000, BIAS, None, str(libc))
    image = ElfImage(str(libc))
    return lambda **options: place_probes(
        FAMILIES[0], module, image, X86_64, size_offset=-8, **options
    )


NOT_ONLY_SIZES = {"realloc", "reallocarray", "posix_memalign", "free"}
INTERNAL = {function.name for function in INTERNAL_FUNCTIONS}


def of_the_program(plan):
    """Return the probes that tell what the program does."""
    return [probe for probe in plan if probe.function not in INTERNAL]


def test_plan_for_sizes_from_the_blocks(sized, plan):
    """What takes only a size has no probe at its entry; the returns are the same."""
    short = of_the_program(sized(usable_sizes=True))
    assert {probe.function for probe in short if probe.role is Role.ENTRY} == NOT_ONLY_SIZES
    assert exits(short) == exits(plan)
    assert {p.function for p in short if p.size_offset == -8} >= {"malloc", "calloc"}
    returns = [p for p in short if p.role is Role.RETURN and p.function in NOT_ONLY_SIZES]
    assert {p.size_offset for p in returns} == {None}


def test_sizes_of_blocks_that_are_freed_or_resized(sized, plan):
    """Where glibc writes sizes, they are read at the entry too."""
    entries = {p.function: p.size_offset for p in sized() if p.role is Role.ENTRY}
    known = {function for function, offset in entries.items() if offset == -8}
    assert known == {"free", "realloc", "reallocarray"}
    assert {p.size_offset for p in plan} == {None}


def test_sentinel_is_of_the_function_that_is_called_least(plan):
    sentinel = find_sentinel(plan)
    assert (sentinel.function, sentinel.role) == ("pvalloc", Role.ENTRY)
    others = [p for p in plan if p.function not in ("pvalloc", "valloc")]
    assert find_sentinel(others).function == "reallocarray"
    often = [p for p in plan if p.function in ("malloc", "free", "posix_memalign")]
    assert find_sentinel(often) is None


def test_phases(sized, plan):
    """Which probes are in: first all, then those without which nothing is known, then frees."""

    def of(phase, role, probes):
        return {p.function for p in probes if phase in p.phases and p.role is role}

    probes = of_the_program(sized())
    assert [p.address for p in probes] == [p.address for p in plan]
    assert all(Phase.ALL in probe.phases and Phase.NONE not in probe.phases for probe in probes)
    assert of(Phase.FEWER, Role.ENTRY, probes) == NOT_ONLY_SIZES
    assert of(Phase.FEWER, Role.RETURN, probes) == of(Phase.ALL, Role.RETURN, probes)
    assert of(Phase.FREES, Role.ENTRY, probes) == NOT_ONLY_SIZES - {"posix_memalign"}
    assert of(Phase.FREES, Role.RETURN, probes) <= {"realloc", "reallocarray"}
    assert all(Phase.FEWER in probe.phases for probe in plan)


def test_ids_count_from_zero_and_addresses_are_distinct(plan):
    assert [probe.id for probe in plan] == list(range(len(plan)))
    assert len({probe.address for probe in plan}) == len(plan)


def test_json_round_trip(plan):
    assert [Probe.from_json(probe.to_json()) for probe in plan] == list(plan)


# Small libraries. `probe_N` marks a return that must be planned, `escape_N` an escape.


@pytest.fixture
def build(tmp_path):
    """Return a function that makes a shared library of assembly."""
    return lambda *functions, flags=(): build_library(tmp_path, *functions, flags=flags)


RET = "nop; probe_1:; ret"

WAYS_OUT = {
    "one ret": [function("malloc", RET)],
    "two rets and a loop": [
        function("malloc", "1: test %rdi, %rdi; jne 2f; probe_1: ret; 2: dec %rdi; jmp 1b"),
    ],
    "a ret behind a ret": [
        function("malloc", "test %rdi, %rdi; je 1f; probe_1: ret; 1: nop; probe_2: ret"),
    ],
    "a ret with a prefix": [function("malloc", "probe_1: repz ret")],
    "a ret that pops": [function("malloc", "probe_1: ret $16")],
    "a branch to a cold part": [
        function("malloc", "test %rdi, %rdi; je malloc.cold; probe_1: ret"),
        function("other", "ret"),
        function("malloc.cold", "nop; probe_2: ret"),
    ],
    "a jump to an inner function": [
        function("memalign", "jmp inner"),
        function("other", "ret"),
        "    .hidden inner\n" + function("inner", RET),
    ],
    "a call that never returns at the end": [
        function("malloc", "test %rdi, %rdi; jne 1f; probe_1: ret; 1: call abort@plt"),
        function("other", "nop; ret"),
    ],
    "code that traps": [
        function("malloc", "test %rdi, %rdi; jne 1f; probe_1: ret; 1: ud2; nop; ret"),
    ],
    "a free beside it": [function("malloc", RET), function("free", "nop; ret")],
    "a jump to a planned function through the linkage table": [
        function("reallocarray", "imul %rdx, %rsi; jmp realloc@plt"),
        function("realloc", RET),
    ],
    "a jump to a planned function through its slot": [
        function("reallocarray", "jmp *realloc@GOTPCREL(%rip)"),
        function("realloc", RET),
    ],
    "code without unwind information": [
        function("malloc", "jmp 1f; nop; 1: probe_1: ret")
        .replace(".cfi_startproc", "")
        .replace(".cfi_endproc", ""),
        function("other", "ret"),
    ],
    "a jump to a function of its own through the linkage table": [
        function("malloc", "test %rdi, %rdi; je inside@plt; probe_1: ret"),
        function("inside", "nop; probe_2: ret"),
    ],
    # What became of the block is told by `free`.
    "a jump to free": [
        function("realloc", "test %rdi, %rdi; jne free@plt; probe_1: ret"),
        function("free", "ret"),
    ],
    "a jump table": [
        function(
            "malloc",
            "sub $8, %rsp; escape_1: jmp *%rax; add $8, %rsp; probe_1: ret;"
            " nop; add $8, %rsp; probe_2: ret",
        ),
        function("other", "ret"),
    ],
    "a hook": [function("malloc", "test %rax, %rax; jne 1f; probe_1: ret; 1: escape_1: jmp *%rax")],
    "a jump through data": [function("malloc", "escape_1: jmp *8(%rdi)")],
    "an indirect jump in an inner function": [
        function("malloc", "jmp inner"),
        "    .hidden inner\n" + function("inner", "escape_1: jmp *%rax"),
    ],
    "a jump to a function of another library": [
        function("malloc", "test %rdi, %rdi; je 1f; escape_1: jmp elsewhere@plt; 1: probe_1: ret"),
    ],
    "an instruction nobody knows": [
        function("malloc", "test %rdi, %rdi; je 1f; probe_1: ret; 1: escape_1: nop; .byte 6; ret"),
    ],
    "calloc jumps to memset": [
        function("calloc", "test %rdi, %rdi; je 1f; probe_1: jmp memset@plt; 1: nop; probe_2: ret"),
        function("memset", "ret"),
    ],
}


@pytest.mark.parametrize("flags", [(), ("-Wl,-z,ibtplt",), ("-Wl,-z,now",)], ids=str)
@pytest.mark.parametrize("functions", WAYS_OUT.values(), ids=WAYS_OUT)
def test_way_out(build, functions, flags):
    library = build(*functions, flags=flags)
    plan = plan_of(library)
    assert exits(plan) == marks(library)
    assert escapes(plan) == marks(library, "escape_")
    assert exits(plan) | escapes(plan)


def test_jump_to_memset_tells_the_result_by_its_argument(build):
    library = build(*WAYS_OUT["calloc jumps to memset"])
    registers = {p.original: p.registers for p in plan_of(library) if p.role is Role.RETURN}
    assert registers["c3"] == ("rsp", "rax", "rbp")
    assert registers["e9"] == ("rsp", "rdi", "rbp")


INDIRECT_MEMSET = """
    .globl memset
    .type memset, @gnu_indirect_function
memset:
    lea inner(%rip), %rax
    ret
    .size memset, . - memset
"""


def test_memset_that_is_chosen_at_load_time(build):
    library = build(
        function("calloc", "nop; probe_1: jmp memset@plt"),
        "    .hidden inner\n" + function("inner", "ret"),
        INDIRECT_MEMSET,
        flags=("-Wl,-Bsymbolic",),
    )
    assert exits(plan_of(library)) == marks(library)


def test_conditional_jump_to_memset_is_seen_where_it_leads(build):
    """Whether it is taken does not show at itself."""
    library = build(
        function("calloc", "test %rdi, %rdi; je memset@plt; probe_1: ret"),
        function("memset", "ret"),
    )
    by_result = {p.registers[1]: p.address - BIAS for p in plan_of(library) if len(p.registers) > 2}
    assert {by_result["rax"]} == marks(library)
    text = subprocess.check_output(["objdump", "-d", "-j.plt.sec", "-j.plt", library], text=True)
    assert f"{by_result['rdi']:x}:" in text


def test_malloc_that_is_chosen_at_load_time(build):
    """The symbol is of the function that chooses, not of the one that allocates."""
    library = build(function("malloc", "ret").replace("@function", "@gnu_indirect_function"))
    with pytest.raises(AllocatorError, match="malloc") as caught:
        plan_of(library)
    assert "docs/limits.md" in caught.value.help_text


OPERATORS_THAT_PASS_ON = {
    "jumps": [function("_ZdlPv", "jmp free@plt")],
    "a chain": [function("_ZdaPv", "jmp _ZdlPv@plt"), function("_ZdlPv", "jmp free@plt")],
    "sized frees": [function("free_sized", "jmp free"), function("free_aligned_sized", "jmp free")],
    "calls": [
        function("_Znwm", "push %rbx; 1: call malloc@plt; test %rax, %rax; je 1b; pop %rbx; ret")
    ],
}
OPERATORS_OF_THEIR_OWN = {
    "a quick way": [function("_ZdlPv", "test %rdi, %rdi; je 1f; jmp free@plt; 1: ret")],
    "one that allocates": [function("_Znwm", "mov $1, %eax; ret")],
}
MALLOC_AND_FREE = [function("malloc", "ret"), function("free", "ret")]


@pytest.mark.parametrize("functions", OPERATORS_THAT_PASS_ON.values(), ids=OPERATORS_THAT_PASS_ON)
def test_operator_that_passes_on_has_no_probe(build, functions):
    plan = plan_of(build(*functions, *MALLOC_AND_FREE), FAMILIES[0])
    assert {probe.function for probe in plan} == {"malloc", "free"}


@pytest.mark.parametrize("functions", OPERATORS_OF_THEIR_OWN.values(), ids=OPERATORS_OF_THEIR_OWN)
def test_operator_of_its_own_has_probes(build, functions):
    plan = plan_of(build(*functions, *MALLOC_AND_FREE), FAMILIES[0])
    [name] = re.findall(r"\.globl (\S+)", functions[0])
    assert {probe.function for probe in plan} == {"malloc", "free", name}


def test_two_names_of_one_function_are_one_entry(build):
    alias = "    .globl aligned_alloc\n    .set aligned_alloc, memalign\n"
    library = build(function("memalign", RET), alias)
    (entry,) = (probe for probe in plan_of(library) if probe.role is Role.ENTRY)
    assert entry.function == "aligned_alloc", "the usual name of an alias is first"
    assert exits(plan_of(library)) == marks(library)


def test_only_what_was_asked_for_is_planned(build):
    library = build(function("malloc", "ret"), function("calloc", "ret"))
    assert {p.function for p in plan_of(library, [MALLOC_FAMILY[0]])} == {"malloc"}
