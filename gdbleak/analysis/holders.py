"""Who holds the blocks of a call stack, by a sample of them. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from gdbleak.analysis.grouping import Key
from gdbleak.analysis.tally import Tally
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.references import Held

Root = tuple[int, int]
"""The address of a word that nobody recorded, 0 for a register; and the thread whose register or
stack that is, or 0."""

Name = tuple[str, "str | None"]
"""What a root is called, and where it is defined, if that is known."""

RootNamer = Callable[[Collection[Root]], "Mapping[Root, Name]"]
"""Names roots; those that it leaves out are named by their module."""

_REGISTERS = "registers of several threads", None
_ALLOCATORS = ("libjemalloc", "libtcmalloc", "libmimalloc")
_MOST = 10
"""So many holders of a site are kept: of a sample, the others hold next to nothing."""


class Chain(NamedTuple):
    """From a root to blocks of a site."""

    blocks: int
    """How many of the sample it explains."""
    of: int
    """How many are in the sample."""
    root: Name
    through: tuple[Key, ...]
    """The other sites whose blocks lie between, the nearest to the held blocks first."""


def find_holders(
    tallies: Mapping[Key, Tally],
    held: Iterable[Held],
    modules: ModuleMap,
    name_roots: RootNamer | None = None,
) -> dict[Key, tuple[Chain, ...]]:
    """Return who holds the blocks of each site of which a sample was looked at.

    Words of one variable, whose names are its name and an offset, count as one root.

    Args:
        tallies: What was added up for each site.
        held: The sample.
        modules: What the process had mapped.
        name_roots: Names roots, where somebody can.

    """
    known = {(each.address, each.born_ns): each for each in held}
    if not known:
        return {}
    ways = _Ways(tallies, known)
    roots = {(each.root, each.thread) for each in known.values()}
    named = name_roots(roots) if name_roots else {}
    names = {root: named.get(root) or (name_root(root, modules), None) for root in roots}
    variables = {root: _find_variable(root, name, modules) for root, name in names.items()}
    found = {}
    for key, sample in ways.samples.items():
        alike: dict[Name, list[tuple[Name, tuple[Key, ...]]]] = {}
        for each in sample:
            root = each.root, each.thread
            alike.setdefault(variables[root], []).append((names[root], ways.follow(each, key)))
        chains = [_join(variable, each, len(sample)) for variable, each in alike.items()]
        chains.sort(key=_order)
        found[key] = tuple(chains[:_MOST])
    return found


def _join(variable: Name, words: Sequence[tuple[Name, tuple[Key, ...]]], of: int) -> Chain:
    """Return what several words of a variable hold, by the way that most of them do."""
    names = {name for name, _ in words}
    [(through, _)] = Counter(through for _, through in words).most_common(1)
    # Of several words in an array, none is the one.
    return Chain(len(words), of, variable if len(names) > 1 else words[0][0], through)


def _order(chain: Chain) -> tuple[bool, int, int, str]:
    """Return what says how soon a chain is named: what an allocator keeps comes last."""
    name = chain.root[0]
    return name.startswith(_ALLOCATORS), -chain.blocks, len(chain.through), name


def name_root(root: Root, modules: ModuleMap) -> str:
    """Return what a root is called by its thread, by its place in a file, or by its address."""
    address, thread = root
    if thread and address:
        return f"thread {thread}'s stack or own variables"
    if not address:
        return f"a register of thread {thread}" if thread else "the kernel (epoll or a timer)"
    module = modules.find(address)
    if module is None:
        return f"{address:#x}"
    return f"{module.shown_name}+{address - module.bias:#x}"


def _find_variable(root: Root, name: Name, modules: ModuleMap) -> Name:
    """Return what the variable is called as a whole that a root is a word of, or what is alike."""
    text, place = name
    if text == name_root(root, modules):
        address, thread = root
        if thread:
            return ("several threads' stacks or own variables", None) if address else _REGISTERS
        if address and modules.find(address) is None:
            return "memory of no known variable", None
    variable, _, offset = text.rpartition("+0x")
    if not variable or not offset.isalnum() or text == name_root(root, modules):
        return name
    return variable, place


class _Ways:
    """Which recorded blocks lie between sampled ones and what holds them."""

    def __init__(self, tallies: Mapping[Key, Tally], known: Mapping[tuple[int, int], Held]) -> None:
        self.samples: dict[Key, list[Held]] = {}
        self._known = known
        self._owners: dict[int, tuple[Key, tuple[int, int]]] = {}
        """By the address of a word that refers to a sampled block, the block that it is in."""
        words = sorted({each.holder for each in known.values() if each.hops})
        for key, tally in tallies.items():
            for block in tally.outstanding:
                identity = block.address, block.born_ns
                if identity in known:
                    self.samples.setdefault(key, []).append(known[identity])
                at = bisect_left(words, block.address)
                while at < len(words) and words[at] < block.address + block.size:
                    self._owners[words[at]] = key, identity
                    at += 1

    def follow(self, held: Held, own: Key) -> tuple[Key, ...]:
        """Return the sites between a block of a site and its root, as far as they are known.

        Of each block its holder is known only if it is in the sample. Nodes of a list, one behind
        the other, count once, and not at all if they are of the same site as the block.
        """
        through: list[Key] = []
        seen: set[int] = set()
        at: Held | None = held
        while at and at.hops and at.holder in self._owners and at.holder not in seen:
            seen.add(at.holder)
            key, identity = self._owners[at.holder]
            if key != (through[-1] if through else own):
                through.append(key)
            at = self._known.get(identity)
        return tuple(through)
