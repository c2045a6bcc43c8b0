"""What the inline probe writes into a target: assembled as committed, and nothing else in it."""

from __future__ import annotations

import platform
import re
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from capstone import x86
from support.disassembly import FLAGS, REGISTERS, RETURN, disassemble, is_branch, name_of, walk

from gdbleak.errors import InlineRefusedError
from gdbleak.inline import ring as layout
from gdbleak.inline.hooks import choose_sizes
from gdbleak.inline.model import Cave, Hook, InlinePlan, Pad
from gdbleak.inline.payload import build, build_in_any
from gdbleak.inline.probes import make_probes
from gdbleak.inline.recorder import read_code, read_labels
from gdbleak.inline.ring import Ring
from gdbleak.plan.selection import Selection, parse_function
from gdbleak.plan.sizes import Sizes
from gdbleak.recording.functions import FAMILIES, MALLOC_FAMILY
from gdbleak.recording.probes import Role

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "gdbleak/inline/recorder.S"
CODE = 0x7F0000010000
CAVE = Cave(0x7F00000200F8, bytes(4000), "/lib/libc.so.6")
RING = Ring(0x100000000000, 16)

STARTS = {  # how functions begin; only the second can be moved byte by byte
    "free": "4885ff0f84bf000000",  # test %rdi, %rdi; je far away
    "malloc": "415455534889fb",  # push %r12; push %rbp; push %rbx; mov %rdi, %rbx
    "posix_memalign": "803d0102140000",  # cmpb $0, far away(%rip)
}
ALLOWED = {*REGISTERS, "rsp", "rip", "rflags", "fs"}
CHOOSING = tuple(
    f"record_{kind}"
    for kind in (
        *("chosen_entry", "chosen_out", "chosen_result", "chosen_resized"),
        *("requested_out", "requested_result", "requested_resized"),
    )
)
SIZES = Sizes(25, 100)
ROUTINES = (
    *("gate", "record_entry", "record_sized_entry"),
    *("record_out", "record_result", "record_resized"),
)


PAD = Pad(CODE + 0x9000, b"\x90" * 5, 48, "/lib/libc.so.6")


def plan(*names, caves=(CAVE,), throwing=(), pad=None, sizes=None, sized=False):
    functions = {function.name: function for family in FAMILIES for function in family}
    hooks = []
    for number, name in enumerate(names):
        address = CODE + 0x100 * number
        code = bytes.fromhex(STARTS.get(name, STARTS["malloc"]))
        throws = name in throwing
        hooks.append(Hook(functions[name], 0, address, address, code, sized=sized, throws=throws))
    made = InlinePlan(tuple(hooks), caves, (CODE, CODE + 0x8000), pad=pad)
    return choose_sizes(made, Selection(sizes=sizes))


def words_of(image):
    """Return the words for the builder, and the addresses at which they and constants are."""
    return range(image.address, image.address + read_labels()["gate"])


def instructions_of(image):
    start = len(words_of(image))
    return disassemble(image.code[start:], image.address + start)


@pytest.fixture(scope="module")
def image():
    names = [function.name for function in MALLOC_FAMILY[:-2]]
    return build(plan(*names), CAVE, RING)


@pytest.fixture(scope="module", params=[True, False], ids=["sized", ""])
def choosing_image(request):
    names = [function.name for function in MALLOC_FAMILY[:-2]]
    return build(plan(*names, sizes=SIZES, sized=request.param), CAVE, RING)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="its assembler is not for x86-64")
def test_committed_bytes_are_those_of_the_source(tmp_path):
    for tool in ("make", "as", "objcopy", "nm"):
        if not shutil.which(tool):
            pytest.skip(f"there is no {tool} here: the bytes are compared where binutils are")
    subprocess.run(["make", "-s", "-C", ROOT, "payload", f"OUT={tmp_path}"], check=True)
    for name in ("recorder.bin", "recorder.labels"):
        assert (tmp_path / name).read_bytes() == (SOURCE.parent / name).read_bytes()


def test_offsets_are_those_of_the_ring():
    written = re.findall(r"^\s+\.set\s+(\w+), (.*)$", SOURCE.read_text().split(".text")[0], re.M)
    values = {name: eval(value) for name, value in written}
    known = {name: value for name, value in vars(layout).items() if isinstance(value, int)}
    del known["STACK_WORDS_OF_UNIT"]
    assert values == known


def test_only_general_registers(choosing_image):
    for instruction in instructions_of(choosing_image).values():
        if instruction.id == x86.X86_INS_NOP:
            continue  # it only fills up
        used = {
            name_of(instruction, number) for each in instruction.regs_access() for number in each
        }
        assert used <= ALLOWED, instruction
        assert not {*instruction.groups} & {x86.X86_GRP_FPU, x86.X86_GRP_PRIVILEGE}, instruction


def test_one_system_call(choosing_image):
    calls = {x86.X86_INS_SYSCALL, x86.X86_INS_SYSENTER, x86.X86_INS_INT}
    found = [each for each in instructions_of(choosing_image).values() if each.id in calls]
    assert [each.mnemonic for each in found] == ["syscall"]


def test_nothing_leads_elsewhere_but_what_was_moved(choosing_image):
    image = choosing_image
    instructions, words = instructions_of(image), words_of(image)
    back = {jump.address + len(jump.original) for jump in image.jumps}
    elsewhere = []
    for instruction in instructions.values():
        for operand in instruction.operands:
            if operand.type == x86.X86_OP_MEM and operand.mem.base == x86.X86_REG_RIP:
                target = instruction.address + instruction.size + operand.mem.disp
                if target not in words:
                    elsewhere.append(instruction.mnemonic)
            elif operand.type == x86.X86_OP_IMM and is_branch(instruction):
                if operand.imm not in instructions and operand.imm not in back:
                    elsewhere.append(instruction.mnemonic)
    assert sorted(elsewhere) == ["cmp", "je"]  # of posix_memalign and free


def test_the_kernel_goes_two_bytes_back_into_a_jump(image):
    instructions = instructions_of(image)
    for routine in (image.map_ring, image.unmap_ring):
        assert instructions[routine - 2].mnemonic == "jmp"
        assert instructions[routine - 2].size == 2


@pytest.mark.parametrize("routine", ROUTINES)
def test_every_path_of_the_recorder_preserves_registers(image, routine):
    ends = walk(instructions_of(image), image.address + read_labels()[routine], set())
    assert {end.target for end in ends} == {RETURN}
    for end in ends:
        assert end.registers == {name: name for name in REGISTERS} | {FLAGS: None}
        assert end.stack == ()


@pytest.mark.parametrize("routine", CHOOSING)
def test_every_path_of_what_chooses_preserves_registers(choosing_image, routine):
    instructions = instructions_of(choosing_image)
    ends = walk(instructions, choosing_image.address + read_labels()[routine], set())
    assert {end.target for end in ends} == {RETURN}
    for end in ends:
        assert end.registers == {name: name for name in REGISTERS} | {FLAGS: None}
        assert end.stack == ()


def test_what_chooses_is_there_only_where_it_is_needed(image, choosing_image):
    labels = read_labels()
    assert labels["choosing"] == len(read_code()) < len(read_code(chooses=True))
    assert all(labels[routine] < labels["choosing"] for routine in ROUTINES)
    assert all(labels[routine] >= labels["choosing"] for routine in CHOOSING)
    common = slice(labels["gate"], labels["choosing"])
    assert choosing_image.code[common] == image.code[common]


@pytest.mark.parametrize("back", [0, 2])
@pytest.mark.parametrize("routine", ["map_ring", "unmap_ring"])
def test_every_path_of_the_routines_preserves_everything(image, routine, back):
    system_calls = {image.address + read_labels()["system_call"]}
    ends = walk(instructions_of(image), getattr(image, routine) - back, system_calls)
    assert {end.target for end in ends} == {image.resume + (8 if back else 0)}
    for end in ends:
        assert end.registers == {name: name for name in (*REGISTERS, FLAGS)}
        assert end.stack == ()


def test_words_of_the_builder(image):
    words = {name: word(image, name) for name in read_labels() if name in WORDS}
    assert words == WORDS | {"image_size": len(image.code)}


def word(image, name):
    return struct.unpack_from("<Q", image.code, read_labels()[name])[0]


WORDS = {
    "ring": RING.address,
    "ring_size": 4096 + (64 << 16),
    "last_unit": 0xFFFF,
    "half": 0x8000,
    "last_bit": 15,
    "own_code": CODE,
    "own_size": 0x8000,
    "own_to_image": (CODE - (CAVE.address + 8)) % (1 << 64),
    "image_size": 0,
    "pad": 0,
    "least_chunk": 0,
    "chunk_span": 0,
    "least_request": 0,
    "request_span": 0,
    "resume": 0,
    "resume_again": 0,
}


TRAMPOLINES = {
    "free": "push rdi|call record_entry|call moved|drop 1",
    "sdallocx": "push rdi|call record_entry|call moved|drop 1",
    "malloc": "push rdi|push 1|push rdi|call moved|call record_result|drop 3",
    "calloc": "push rdi|push rdi|push rsi|call moved|call record_result|drop 3",
    "aligned_alloc": "push rsi|push 1|push rsi|call moved|call record_result|drop 3",
    "posix_memalign": "push rdi|push 1|push rdx|call moved|call record_out|drop 3",
    "realloc": ("push rdi|call record_entry|push 1|push rsi|call moved|call record_resized|drop 3"),
    "reallocarray": (
        "push rdi|call record_entry|push rsi|push rdx|call moved|call record_resized|drop 3"
    ),
}


@pytest.mark.parametrize("name", TRAMPOLINES)
def test_trampoline(name):
    image = build(plan(name), CAVE, RING)
    [jump] = image.jumps
    [patch, *_] = disassemble(jump.code[:5], jump.address).values()
    start = patch.operands[0].imm
    assert describe(image, start) == f"call gate|jb|{TRAMPOLINES[name]}|ret"
    assert jump.code[5:] == jump.original[5:]


CHOSEN = {
    "free": "push rdi|call record_chosen_entry|call moved|drop 1",
    "malloc": "push rdi|push 1|push rdi|call moved|call record_chosen_result|drop 3",
    "calloc": "push rdi|push rdi|push rsi|call moved|call record_chosen_result|drop 3",
    "posix_memalign": "push rdi|push 1|push rdx|call moved|call record_chosen_out|drop 3",
    "realloc": (
        "push rdi|call record_chosen_entry|push 1|push rsi|call moved|call record_chosen_resized"
        "|drop 3"
    ),
}


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("name", CHOSEN)
def test_trampoline_that_chooses(name, sized):
    image = build(plan(name, sizes=SIZES, sized=sized), CAVE, RING)
    [patch, *_] = disassemble(image.jumps[0].code[:5], image.jumps[0].address).values()
    expected = CHOSEN[name]
    if not sized:
        expected = expected.replace("chosen_entry", "entry").replace("chosen", "requested")
    found = describe(image, patch.operands[0].imm, chooses=True)
    assert found == f"call gate|jb|{expected}|ret"


def test_sizes_that_are_filled_in(choosing_image):
    names = ("least_chunk", "chunk_span", "least_request", "request_span")
    assert [word(choosing_image, name) for name in names] == [48, 64, 25, 75]


def test_frees_are_chosen_only_where_every_block_tells_its_size():
    hooks = plan("malloc", "free", sized=True).hooks
    other = Hook(hooks[0].function, 1, 0, 0, b"")

    def chosen(hooks, selection):
        made = choose_sizes(InlinePlan(tuple(hooks), (), (0, 0)), selection)
        return [hook.chooses_ends for hook in made.hooks]

    own = parse_function("pool_get:size=1", allocates=True)
    assert chosen(hooks, Selection(sizes=SIZES)) == [True, True]
    assert chosen((*hooks, other), Selection(sizes=SIZES)) == [True, True, False]
    assert chosen((*hooks, replace(other, allocator=0)), Selection(sizes=SIZES)) == [False] * 3
    assert chosen(hooks, Selection(functions=(own,), sizes=SIZES)) == [False, False]
    throwing = replace(hooks[0], throws=True)
    assert chosen((throwing, hooks[1]), Selection(sizes=SIZES)) == [False, False]
    assert chosen(hooks, Selection()) == [False, False]


def test_probes_say_what_is_kept():
    made = plan("malloc", "realloc", "free", sizes=SIZES, sized=True)
    image = build(made, CAVE, RING)
    probes = make_probes(made.hooks, image.sites, made.sizes)
    assert {probe.kept_sizes for probe in probes} == {(48, 112)}
    made = plan("malloc", "realloc", "free", sizes=SIZES)
    probes = make_probes(made.hooks, build(made, CAVE, RING).sites, made.sizes)
    kept = [(probe.role, probe.kept_sizes) for probe in probes]
    assert kept == [
        (Role.CALL, (25, 100)),
        (Role.ENTRY, None),
        (Role.RETURN, (25, 100)),
        (Role.ENTRY, None),
    ]


BY_PAD = {
    "malloc": "push 0|push 1|push rdi|{}|call record_result|drop 3",
    "calloc": "push 0|push rdi|push rsi|{}|call record_result|drop 3",
    "realloc": (
        "push rdi|call record_entry|mov qword ptr [rsp], 0|push 1|push rsi|{}|call record_resized"
        "|drop 3"
    ),
}
TO_PAD = "sub rsp, 0x10|call to_pad"


@pytest.mark.parametrize("name", BY_PAD)
def test_trampoline_of_what_throws(name):
    image = build(plan(name, throwing=(name,), pad=PAD), CAVE, RING)
    pad, entry = image.jumps
    starts = [disassemble(jump.code[:5], jump.address)[jump.address] for jump in image.jumps]
    to_pad, to_entry = (jump.operands[0].imm for jump in starts)
    assert (pad.address, pad.original, pad.twins) == (PAD.address, PAD.original, ())
    assert (pad.is_pad, entry.is_pad) == (True, False)
    expected = f"call gate|jb|{BY_PAD[name].format(TO_PAD)}|ret"
    assert describe(image, to_entry) == f"{expected}|drop 2|jmp"
    assert describe(image, to_pad) == "drop 2|jmp"
    instructions = instructions_of(image)
    assert is_clearing(instructions[to_pad])
    start = image.address + len(read_code())
    dropped, pushed, *_ = (each for at, each in instructions.items() if at >= start)
    assert (dropped.op_str, pushed.mnemonic) == ("rsp, 8", "push")
    word_of_pad = image.address + read_labels()["pad"]
    assert pushed.address + pushed.size + pushed.operands[0].mem.disp == word_of_pad
    # Back to where the result is recorded: that is the only site, or the second.
    [*_, last] = instructions.values()
    assert instructions[last.operands[0].imm].mnemonic == "call"
    assert last.operands[0].imm + 5 == image.address + image.sites[-1].number
    assert word(image, "pad") == PAD.address


def test_the_pad_leads_to_whose_frame_it_is():
    names = ("malloc", "calloc", "valloc")
    image = build(plan(*names, throwing=names, pad=PAD), CAVE, RING)
    [pad, *_] = image.jumps
    instructions = instructions_of(image)
    [start] = disassemble(pad.code, pad.address).values()
    found = [each for at, each in instructions.items() if at >= start.operands[0].imm]
    assert [each.mnemonic for each in found] == ["and", "add", "cmp", "je", "cmp", "je", "jmp"]
    compared = [each.op_str for each in found if each.mnemonic == "cmp"]
    assert compared == ["byte ptr [rsp + 0x10], 1", "byte ptr [rsp + 0x10], 2"]
    targets = [each.operands[0].imm for each in found if is_branch(each)]
    results = [image.address + site.number - 5 for site in image.sites]
    assert targets == [results[1], results[2], results[0]]


def test_a_small_frame_has_no_rest():
    pad = replace(PAD, frame_bytes=32)
    image = build(plan("malloc", throwing=("malloc",), pad=pad), CAVE, RING)
    [start] = disassemble(image.jumps[0].code, PAD.address).values()
    assert describe(image, start.operands[0].imm) == "jmp"


def describe(image, start, chooses=False):
    """Return the instructions of a trampoline; each call is followed by a clearing."""
    labels = {image.address + offset: name for name, offset in read_labels().items()}
    moved = image.address + len(read_code(chooses))
    lines = []
    instructions = instructions_of(image)
    for address, each in instructions.items():
        if address < start or is_clearing(each):
            continue
        operand = each.operands[0] if each.operands else None
        if each.id == x86.X86_INS_ADD:
            assert operand.reg == x86.X86_REG_RSP
            lines.append(f"drop {each.operands[1].imm // 8}")
        elif each.id == x86.X86_INS_CALL:
            clearing = instructions[address + each.size]
            if operand.imm == moved and not is_clearing(clearing):
                lines.append("call to_pad")
                continue
            assert is_clearing(clearing)
            assert (
                clearing.mnemonic == "mov" or operand.imm != image.address + read_labels()["gate"]
            )
            lines.append(f"call {'moved' if operand.imm == moved else labels[operand.imm]}")
        elif is_branch(each):
            lines.append(each.mnemonic)
        else:
            lines.append(f"{each.mnemonic} {each.op_str}".strip())
    return "|".join(lines)


def is_clearing(instruction):
    """Return whether it zeroes the word below the stack; behind the gate, flags have to stay."""
    is_zero = instruction.op_str == "qword ptr [rsp - 8], 0"
    return is_zero and instruction.mnemonic in ("mov", "and")


def test_sites_and_twins():
    image = build(plan("realloc", "free", "malloc", "posix_memalign"), CAVE, RING)
    roles = [(site.hook, site.role) for site in image.sites]
    assert roles == [
        (0, Role.ENTRY),
        (0, Role.RETURN),
        (1, Role.ENTRY),
        (2, Role.CALL),
        (3, Role.CALL),
    ]
    instructions = instructions_of(image)
    for site in image.sites:
        assert is_clearing(instructions[image.address + site.number])
    for jump in image.jumps:
        covered = disassemble(jump.original, jump.address)
        assert [twin[0] for twin in jump.twins] == [*covered][1:]
        for original, copy in jump.twins:
            assert instructions[copy].mnemonic == covered[original].mnemonic


def test_a_small_cave_is_refused_and_the_next_is_taken():
    small = Cave(CAVE.address + 0x10000, bytes(1000), "/lib/small.so")
    with pytest.raises(
        InlineRefusedError, match=r"/lib/small.so: there is room for 992 bytes of 1\d+"
    ):
        build(plan("malloc", "free"), small, RING)
    cave, image = build_in_any(plan("malloc", "free", caves=(small, CAVE)), RING)
    assert (cave, image) == (CAVE, build(plan("malloc", "free"), CAVE, RING))
    with pytest.raises(InlineRefusedError, match="there is room for 992 bytes"):
        build_in_any(plan("malloc", caves=(small, small)), RING)
    with pytest.raises(InlineRefusedError, match="no code of the process has room"):
        build_in_any(plan("malloc", caves=()), RING)


def test_an_image_fits_to_the_byte():
    size = len(build(plan("malloc"), CAVE, RING).code)
    cave = Cave(CAVE.address + 8, bytes(size), "")
    assert len(build(plan("malloc"), cave, RING).code) == size
    with pytest.raises(InlineRefusedError):
        build(plan("malloc"), Cave(cave.address, bytes(size - 1), ""), RING)


@pytest.mark.parametrize("name", ["malloc", "free", "posix_memalign"])
def test_a_cave_too_far_away_is_refused(name):
    far = Cave(CAVE.address + (3 << 30), bytes(4000), "/lib/far.so")
    with pytest.raises(InlineRefusedError, match=r"/lib/far.so: .* too far away"):
        build(plan(name), far, RING)


@pytest.mark.parametrize("bits", [5, 33])
def test_rings_have_a_sensible_size(bits):
    with pytest.raises(ValueError, match="units"):
        build(plan("malloc"), CAVE, Ring(RING.address, bits))
