"""What each word of a report means, for whoever asks `gdbleak explain`. The only place of it.

docs/verdicts.md has the rules in full; a test holds its list of words against this one.
"""

from __future__ import annotations

from typing import NamedTuple

from gdbleak.report.model import Word


class Explanation(NamedTuple):
    """A word of reports, in whole sentences."""

    meaning: str
    """A definition."""
    decided: str
    """How the rule decides."""
    remedy: str
    """What to do."""
    wrong: str
    """When the word is wrong."""


EXPLANATIONS: dict[str, Explanation] = {
    Word.LEAK: Explanation(
        "Blocks of this call stack are never freed. They come all the time, and they, or a steady"
        " share of them, stay.",
        "Either nothing in the process refers to the blocks any more (see `gdbleak explain lost`)."
        " Or it is not known what refers to them, and of the blocks that got old, which is a"
        " quarter of the time watched, at most one in ten was freed, and there are at least five of"
        " them, born in three different parts of the window. In a sample, the heap itself has to"
        " hold more and more blocks of their size. If something holds the blocks, it is `growing`.",
        "Read the stack, and find who should have freed the block.",
        "When the program hides its pointers (see `gdbleak explain lost`). Without a search for"
        " references, when something takes longer than the window, such as a cache that fills for"
        " an hour. Watch for longer than anything in the process should live.",
    ),
    Word.GROWING: Explanation(
        "What this call stack holds is in use, and grows throughout the window.",
        "Blocks come all the time and are never freed, by the rule of `leak`, but something in the"
        " process still refers to them. Or a container is resized three times or more, never"
        " becomes smaller, and still grows at the end. Or in each of the last three quarters of the"
        " window more blocks come than go. Or blocks stay, while fewer older blocks of the same"
        " size are freed.",
        "If the report says `held by`, that variable keeps the blocks: find who should remove them"
        " from it, and what should bound its size. A queue grows when its reader is too slow.",
        "For a cache or container that is still filling for the first time, for what is emptied"
        " more rarely than once in a window, and for a load that rises. Watch for longer than"
        " anything in the process should live, or once more some hours later.",
    ),
    Word.SUSPECT: Explanation(
        "It looks like a leak, but the evidence is weak. The evidence names the doubt.",
        "The rule of `leak` is met by three or four blocks only, or by two among a thousand that"
        " lived for a moment. Or the window was recorded in bursts (see `gdbleak explain SAMPLED`),"
        " and more blocks get old than is usual at the other call stacks. Or the heap holds"
        " far fewer blocks of this size than would have piled up since the process began.",
        "Watch longer, for example with `--duration 60`. A leak becomes `leak` or `growing` then;"
        " what is none becomes something else. The strongest evidence stands first.",
        "In a sample, frees between bursts are not seen, so a block may be gone that seems to stay."
        " With few blocks, chance decides.",
    ),
    Word.FEW: Explanation(
        "Too few blocks of this call stack were seen to say anything.",
        "There are one or two of them, or all came at once, or none was watched for long enough.",
        "Watch longer: a window that is six times as long sees six times as many.",
        "It is no acquittal. A leak of one large block every few seconds is `too few` in a short"
        " window.",
    ),
    Word.CACHE: Explanation(
        "It grew at first and then stopped, or grows ever more slowly, as a cache or a pool does"
        " that fills.",
        "None of its blocks was born for so long at the end of the window that chance does not"
        " explain it; or far fewer were born late than early; or as many are freed as come. Where"
        " the rest of the process is busy, time is measured by what it does: if the load stops,"
        " that is not taken for a cache that is full.",
        "Nothing, if you know the cache. Else look whether it has a bound.",
        "A leak whose cause has stopped looks like this too: an error that came for five seconds."
        " Watch again when it may come back.",
    ),
    Word.TURNOVER: Explanation(
        "Its blocks outlive the window, but older blocks of the same size are freed as fast as they"
        " come: the process has its usual size.",
        "gdbleak reads the size of each older block that is freed, and compares. With allocators"
        " other than glibc's, older blocks of any size count.",
        "Probably nothing. To be sure, watch for longer than the blocks should live.",
        "A small leak hides behind others that free blocks of its size. `gdbleak heap PID"
        " --interval 60 --count 6` shows whether that size grows.",
    ),
    Word.CHURN: Explanation(
        "Its blocks are freed. This is no leak.",
        "No other rule applies, and blocks of it were freed. In a sample it is also the word for a"
        " call stack of which no more blocks get old than is usual.",
        "Nothing.",
        "A leak of one block in many thousands is `churn` until one of those few was seen.",
    ),
    "lost": Explanation(
        "Nothing in the process refers to the blocks any more, so no code can free them. It stands"
        " in the evidence of a `leak`, and `--fail-on lost` looks for it.",
        "At the end of the window the memory of the process is read several times, and searched for"
        " addresses of its blocks. At least five blocks, and nine tenths of those that were looked"
        " for, have to be lost each time, or be referred to by lost ones only.",
        "Look at the stack for the place where the result is dropped: a pointer that is"
        " overwritten, or an early return without `free`.",
        "Where a program hides pointers: encrypted, compressed, packed at odd"
        " addresses, or known only to the kernel. docs/verdicts.md lists them.",
    ),
    "SAMPLED": Explanation(
        "The process was too busy to be recorded whole by breakpoints, and could not be recorded"
        " inline. So the window was recorded in bursts: numbers with `~` are estimates, and what"
        " happened between bursts was not seen.",
        "Breakpoints are taken out whenever they would slow the process for more than `--budget`"
        " percent of the time, and put in again when the budget allows it.",
        "Take the report as a list of suspects. `gdbleak hunt PID` finds the size of blocks that"
        " grows and records all blocks of that size. `gdbleak trace PID --probe inline` says why it"
        " cannot be recorded inline. `--budget 100` records everything, whatever that costs the"
        " process.",
        "A leak that comes rarely, or always late in a request, may be in none of the bursts. That"
        " a sampled report names nothing means little.",
    ),
}
"""By the word as reports write it."""
