"""The first screen of a report: ten lines, nothing grave hidden, and what to type next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reports import HOSTILE, INLINE, LEFT_AS_FOUND, MEMORY, SAMPLES, TARGET, WINDOW, report, site

from gdbleak.recording.chosen import Chosen
from gdbleak.recording.end import EndedBy, Verification
from gdbleak.renderers import make_renderer
from gdbleak.renderers.first_screen import LINES, lay_out, make_first_screen
from gdbleak.report.model import Frame, Holder, OutstandingBlock, Reach, Verdict, Word
from gdbleak.report.window import GrowingSize, HeapWindow, MemoryInfo, Outlook, Sampling

LEAK = Verdict(Word.LEAK, "0 of 341 freed, up to 9.8 s old; +34/s throughout", strength=0.9)
LOST = Verdict(Word.LEAK, "lost: nothing in the process refers to 339 of 341 blocks", strength=1.0)
GROWING = replace(LEAK, word=Word.GROWING)
SUSPECT = Verdict(Word.SUSPECT, "0 of 4 freed, up to 9 s old; only 4 blocks", strength=0.5)
FEW, CHURN = Verdict(Word.FEW, "2 blocks"), Verdict(Word.CHURN, "99 % of 100 freed")
CACHE = Verdict(Word.CACHE, "filled in the first 2 s, level since")
SAMPLING = Sampling(60, 2.5, 1200, 100_000, 80.0, 4.0, 90.0)
HELD = Reach(9, 0, 0, 9, 0, 3, 0, (Holder(9, 9, "sessions", "server, server.c:88"),))


def lines(made, width=80):
    return [line.text for line in lay_out(make_first_screen(made), width)]


def judged(*verdicts, **changes):
    return report(
        *(site(rank, verdict=verdict) for rank, verdict in enumerate(verdicts, 1)), **changes
    )


@pytest.mark.parametrize("width", [80, 120, 160])
@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_ten_lines_that_fit(sample, width):
    made = lines(sample, width)
    assert len(made) <= LINES
    assert max(map(len, made)) <= width


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize("form", ["table", "plain", "markdown"])
def test_every_text_begins_with_it(form, sample):
    text = str(make_renderer(form, top=3, width=80, color=False).render(sample))
    head = text.splitlines()[: LINES + 5]
    assert any("Watched " in line for line in head)


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ([LEAK], "leaks 7,373 B/s, from 1 call stack."),
        (
            [LOST, GROWING, LEAK],
            "leaks 14.4 KiB/s, from 2 call stacks, and grows by 7,373 B/s, from 1 call stack.",
        ),
        ([GROWING], "grows by 7,373 B/s, from 1 call stack."),
        ([replace(GROWING, net_share=0.5)], "grows by 3,686 B/s, from 1 call stack."),
        ([LEAK, SUSPECT, SUSPECT], "leaks 7,373 B/s, from 1 call stack; 2 more may leak."),
        ([SUSPECT], "may leak 7,373 B/s: 1 call stack is suspected."),
        ([FEW, FEW, CHURN], ": too early to say. 2 call stacks have too few blocks yet."),
        ([CHURN], ": no leak was found in 10.0 s; 1 call stack holds blocks: 1 churn."),
        (
            [CHURN, CACHE, CHURN],
            ": no leak was found in 10.0 s; 3 call stacks hold blocks: 2 churn, 1 cache?.",
        ),
        ([None], ": blocks of 1 call stack were not freed in 10.0 s."),
        ([], ": no leak was found. What it allocated in 10.0 s it freed, or"),
    ],
)
def test_headline(verdicts, said):
    first = make_first_screen(judged(*verdicts)).headline
    assert first.removeprefix("fibonacci (pid 4242)").lstrip().startswith(said.lstrip())


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/sbin/nginx -g daemon", "nginx -g daemon"),
        ("nginx:  worker   process", "nginx: worker process"),
        ("", "(unknown)"),
        ("/", "/"),
        ("/bin/x " + "y" * 99, "x " + "y" * 35 + "..."),
    ],
)
def test_name_of_the_process(command, name):
    made = judged(target=replace(TARGET, command=command))
    assert make_first_screen(made).headline.startswith(f"{name} (pid 4242): ")


def test_who_holds_and_what_is_lost_stand_beside_the_line():
    made = report(
        site(1, verdict=LOST, reach=Reach(341, 339, 0, 2, 0, 3)), site(2, verdict=LEAK, reach=HELD)
    )
    assert lines(made)[1:5] == [
        "  1  leak          7,373 B/s  fibonacci  fibonacci.c:23",
        "     lost: nothing in the process refers to 339 of 341 blocks",
        "  2  leak          7,373 B/s  fibonacci  fibonacci.c:23",
        "     0 of 341 freed, up to 9.8 s old; held by sessions (server, server.c:88)",
    ]


def test_a_doubt_is_never_left_out_for_a_holder():
    doubt = replace(SUSPECT, evidence=SUSPECT.evidence + "; and one more doubt that is long")
    made = lines(report(site(1, verdict=doubt, reach=HELD)))
    assert made[2] == f"     {doubt.evidence}"


def test_the_strongest_come_first_whatever_the_report_is_sorted_by():
    weak = replace(SUSPECT, strength=0.1)
    made = make_first_screen(judged(weak, CHURN, SUSPECT, LEAK, LOST))
    assert [suspect.rank for suspect in made.suspects] == [5, 4, 3]


@pytest.mark.parametrize(
    ("frame", "name", "place"),
    [
        (Frame(1, "/lib/libfoo.so.2", 0x2F0, "foo_open"), "foo_open", "(libfoo.so.2)"),
        (Frame(1, "/lib/libfoo.so.2", 0x2F0), "libfoo.so.2+0x2f0", ""),
        (Frame(1, None, None, "f", "/src/a.c"), "f", "a.c"),
        (Frame(0x1234), "0x1234", ""),
        (None, "(unknown)", ""),
    ],
)
def test_where_in_the_source(frame, name, place):
    suspect = make_first_screen(report(site(caller=frame, verdict=LEAK))).suspects[0]
    assert (suspect.function, suspect.place) == (name, place)


def test_groups_and_mappings():
    made = report(site(group="64 B to 127 B", kind="mapping", verdict=LEAK))
    assert make_first_screen(made).suspects[0].function == "[mapping] 64 B to 127 B"


INLINE_WINDOW = replace(WINDOW, stops=4, stopped_s=0.004, longest_pause_ms=3.1, inline=INLINE)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"window": INLINE_WINDOW},
            "Watched 10.0 s inline, every call; halted 4 times, longest 3.1 ms; 2,009 bytes of code"
            " put in and taken out; left as found.",
        ),
        (
            {
                "window": replace(
                    INLINE_WINDOW, probe=Chosen("inline", "66,000 calls/s are too many")
                ),
            },
            "Watched 10.0 s inline, every call (66,000 calls/s are too many); halted",
        ),
        (
            {"window": replace(INLINE_WINDOW, inline=replace(INLINE, one_of=4))},
            "Watched 10.0 s inline, 1 block in 4; halted",
        ),
        (
            {
                "window": replace(
                    WINDOW,
                    sampling=SAMPLING,
                    probe=Chosen("bursts", "66,000 calls/s are too many; no inline: no room"),
                ),
            },
            "Watched 10.0 s by breakpoints, SAMPLED in 60 bursts, as inline was refused; halted"
            " 4,123 times (5.0 % of the time), longest 8.6 ms; left as found.",
        ),
        (
            {"window": replace(WINDOW, sizes=(24, 48), ended_by=EndedBy.INTERRUPT)},
            "by breakpoints, every call for blocks of 24 to 48 bytes, ended early by its user;",
        ),
        (
            {"window": replace(WINDOW, stops=None, ended_by=EndedBy.TARGET_EXIT)},
            "every call; it is not known how often it was halted; left as found.",
        ),
        ({"verification": Verification()}, "longest 8.6 ms; it has ended."),
    ],
)
def test_what_the_watch_was_and_cost(changes, said):
    assert said in make_first_screen(judged(LEAK, **changes)).watch


TRACED = Verification(77, "S", "t", text_intact=False, ok=False)
LEFT = replace(INLINE, left="the recorder: a thread runs it")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verification": TRACED}, "The process was NOT left as it was found: process 77 traces"),
        ({"window": replace(INLINE_WINDOW, inline=LEFT)}, "STILL IN THE PROCESS: the recorder"),
        ({"window": replace(WINDOW, complete=False)}, "INCOMPLETE: the recording is cut off"),
        ({"window": replace(WINDOW, lost_events=12)}, "12 events were LOST"),
        ({"window": replace(INLINE_WINDOW, inline=replace(INLINE, lost=7))}, "7 events were LOST"),
        ({"window": replace(WINDOW, missed_frees=3)}, "3 frees were not seen"),
        ({"window": replace(WINDOW, ended_by=EndedBy.MAX_PAUSE)}, "stood still for too long."),
        ({"window": replace(WINDOW, ended_by=EndedBy.RUNNING)}, "The window is still open."),
        (
            {"notes": ("the process stood still for 55 % of the window: on its own it does more",)},
            "The process stood still for 55 % of the window: on its own it does more.",
        ),
        ({"notes": ("the process ran at 9 % of its speed",)}, "The process ran at 9 % of its"),
    ],
)
@pytest.mark.parametrize("form", ["table", "plain", "markdown", "html"])
def test_alarms_are_never_hidden(form, changes, said):
    made = judged(LEAK, LEAK, LEAK, **changes)
    text = str(make_renderer(form, top=3, width=80, color=False).render(made))
    head = text[text.index("fibonacci (pid 4242) leaks") :][:1000]
    assert said in " ".join(head.split())
    assert said in " ".join(lines(made))
    assert len(lines(made)) <= LINES


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"outlook": Outlook(7373.0, 8 << 30, "control group", 4000.0)}, "reaches the 8.0 GiB of"),
        ({"outlook": Outlook(7373.0, 8 << 30, "machine", 1e9)}, None),
        ({"outlook": Outlook(7373.0)}, None),
        # What explains little of the growth says nothing about when memory runs out.
        (
            {
                "outlook": Outlook(7373.0, 8 << 30, "machine", 4000.0),
                "memory": MemoryInfo(0, 50 << 20, 1 << 20),
            },
            "The process grew by 50.0 MiB; outstanding blocks explain 2.0 % of that.",
        ),
        (
            {"heap": HeapWindow(5, 0.1, growing=(GrowingSize(25, 40, 50, 90, 4.0, 3.0),))},
            "The heap holds ever more blocks of 25-40 bytes, few of them seen: 50 -> 90.",
        ),
        ({"memory": MemoryInfo(0, 50 << 20, None)}, "it is not known how much of that"),
        ({"memory": MemoryInfo(0, 50 << 10, 0)}, None),
        # The kernel takes pages of files back.
        ({"memory": MemoryInfo(0, 50 << 20, 0, file_bytes=50 << 20)}, None),
        ({"memory": MemoryInfo(0, 50 << 20, 0, file_bytes=10 << 20)}, "grew by 40.0 MiB"),
        ({"memory": MemoryInfo(0, 50 << 20, 40 << 20)}, None),
    ],
)
def test_outlook(changes, said):
    found = make_first_screen(judged(LEAK, **changes)).outlook
    assert found is None if said is None else said in str(found)


GREW = MemoryInfo(0, 50 << 20, 0)
SAMPLED = replace(WINDOW, sampling=SAMPLING)
BLOCK = OutstandingBlock(0x55D0, 64, 9.0, 7)
STEPS = {
    "a leak whose holder is known": (report(site(verdict=LEAK, reach=HELD)), None),
    "a lost one": (report(site(verdict=LOST, reach=Reach(9, 9, 0, 0, 0, 3))), None),
    "a leak, and nobody knows who holds it": (judged(LEAK), "`gdbleak why 4242 ADDRESS`: who"),
    "a leak whose blocks are listed": (
        report(site(verdict=LEAK, blocks=(BLOCK,))),
        "`gdbleak why 4242 0x55d0`: who holds the oldest block",
    ),
    "a leak that explains little": (judged(LEAK, memory=GREW), "`gdbleak heap 4242` shows"),
    "the process grows, and its heap does not": (
        judged(CHURN, memory=GREW, heap=HeapWindow(11, 0.1)),
        "`gdbleak trace 4242 --mappings` also records what it maps itself",
    ),
    "a size that grows unseen": (
        judged(CHURN, heap=HeapWindow(5, 0.1, growing=(GrowingSize(24, 24, 50, 90, 4.0, 3.0),))),
        "`gdbleak trace 4242 --size 24` records only these",
    ),
    "a size that grows, and was seen to": (
        judged(CHURN, heap=HeapWindow(5, 0.1, growing=(GrowingSize(24, 24, 50, 90, 4.0, 30.0),))),
        None,
    ),
    "a suspicion": (judged(SUSPECT), "`gdbleak trace 4242 --duration 60`, to be sure"),
    "too few": (judged(FEW), "`gdbleak trace 4242 --duration 60`"),
    "too few in a minute": (
        judged(FEW, window=replace(WINDOW, duration_s=60.2)),
        "`gdbleak trace 4242 --duration 360`",
    ),
    "too few in a day": (
        judged(FEW, window=replace(WINDOW, duration_s=86400.0)),
        "`gdbleak trace 4242 --duration 3600`",
    ),
    "a sample": (judged(LEAK, window=SAMPLED), "`gdbleak hunt 4242` finds the size that grows"),
    "a sample of jemalloc": (
        judged(window=SAMPLED, target=replace(TARGET, allocator="jemalloc")),
        "`gdbleak trace 4242 --duration 60`",
    ),
    "nothing, and no growth": (judged(CHURN), None),
    "nothing, but the process grows": (judged(CHURN, memory=GREW), "`gdbleak heap 4242` shows"),
    "nothing at all, but it grows": (judged(memory=GREW), "`gdbleak heap 4242` shows"),
    "a process that has ended": (
        judged(LEAK, memory=GREW, window=replace(WINDOW, ended_by=EndedBy.TARGET_EXIT)),
        None,
    ),
    "too few of one that has ended": (
        judged(FEW, window=replace(WINDOW, ended_by=EndedBy.TARGET_EXIT)),
        "start it again, and trace it from its beginning",
    ),
    "one that was not left as found": (
        judged(LEAK, verification=TRACED),
        "`gdbleak rescue 4242` looks for what was left in it",
    ),
    "one that died": (
        judged(LEAK, verification=replace(LEFT_AS_FOUND, ok=False, death="SIGTRAP")),
        "look at it, and trace again",
    ),
    "one whose window ended early": (
        judged(LEAK, window=replace(WINDOW, ended_by=EndedBy.MAX_PAUSE)),
        "trace again with a larger --max-pause",
    ),
}


@pytest.mark.parametrize(("made", "step"), STEPS.values(), ids=STEPS)
def test_what_to_do_next(made, step):
    found = make_first_screen(made).next
    assert found.startswith(step) if step else found is None


@pytest.mark.parametrize(
    ("made", "unseen"),
    [
        (judged(window=SAMPLED), "Not seen: 98.8 % of the calls that allocate, and any leak"),
        (judged(LEAK, window=SAMPLED), "Not seen: 98.8 % of the calls that allocate, and any leak"),
        (
            judged(LEAK, window=replace(WINDOW, sampling=replace(SAMPLING, calls=None))),
            "Not seen: about 98.8 % of the calls that allocate, and any leak",
        ),
        (judged(FEW, CHURN), "Not seen: what becomes of the blocks of 1 call stack."),
        (
            judged(CHURN, window=replace(INLINE_WINDOW, inline=replace(INLINE, one_of=4))),
            "Not seen: 3 of 4 blocks, by their addresses.",
        ),
        (judged(LEAK, FEW), None),
        (judged(CHURN), None),
    ],
)
@pytest.mark.parametrize("form", ["table", "plain", "markdown"])
def test_what_was_not_seen_is_said_at_the_beginning_and_at_the_end(form, made, unseen):
    text = str(make_renderer(form, top=3, width=100, color=False).render(made)).rstrip("`\n")
    is_alone = not made.leaking
    assert text.count("Not seen: ") == (0 if unseen is None else 1 if is_alone else 2)
    if unseen:
        assert unseen in text
        *_, last, next_step = text.splitlines()
        assert last.startswith("Not seen: ")
        assert next_step.startswith("Next: `gdbleak ")


@pytest.mark.parametrize(
    "window", [replace(WINDOW, lost_events=3), replace(WINDOW, complete=False)], ids=["lost", "cut"]
)
def test_neither_does_a_report_that_is_not_whole(window):
    said = make_first_screen(judged(window=window)).headline
    assert said.endswith(
        ": nothing was found in what was recorded, which is not all that happened."
    )


@pytest.mark.parametrize("verdicts", [[], [CHURN]])
@pytest.mark.parametrize("form", ["table", "plain", "markdown", "html"])
def test_a_sample_never_says_that_all_was_freed(form, verdicts):
    made = judged(*verdicts, window=SAMPLED, memory=MEMORY)
    text = str(make_renderer(form, top=3, width=100, color=False).render(made))
    assert "it freed" not in text
    assert "was freed in it" not in text
    assert "Not seen: " in text


def test_stacks_of_what_is_not_suspected_are_shown_only_if_asked_for():
    made = judged(LEAK, FEW, CHURN)
    brief, whole = (
        str(make_renderer("plain", top=5, width=80, color=False, verbose=verbose).render(made))
        for verbose in (False, True)
    )
    assert brief.count("\nStack ") == 1
    assert "--verbose shows the call stacks of the 2 other rows.\n" in brief
    assert "longest pause:" not in brief
    assert whole.count("\nStack ") == 3
    assert "--verbose" not in whole
    assert "longest pause:" in whole


def test_notes_are_kept_and_none_is_said_twice():
    notes = ("recorded inline: it is busy", "the process ran at 9 % of its speed", "odd sizes")
    made = judged(LEAK, window=INLINE_WINDOW, notes=notes)
    text = str(make_renderer("plain", top=5, width=80, color=False).render(made))
    assert text.count("Note: ") == 1
    assert "Note: odd sizes\n" in text


def test_no_line_of_the_target_ends_the_block_in_markdown():
    command = "``` ```"
    made = report(
        site(caller=Frame(1, function="```"), verdict=LEAK), target=replace(TARGET, command=command)
    )
    text = str(make_renderer("markdown", top=5, width=None, color=False).render(made))
    fences = [line for line in text.splitlines() if line.lstrip().startswith("```")]
    assert fences == ["```text", "```"] * 2


def test_page_escapes_what_comes_from_the_target():
    frame = Frame(1, function=HOSTILE, file=HOSTILE, line=1)
    holder = replace(HELD, holders=(Holder(9, 9, HOSTILE, HOSTILE),))
    made = report(
        site(caller=frame, verdict=LEAK, reach=holder), target=replace(TARGET, command=HOSTILE)
    )
    page = str(make_renderer("html", top=5, width=None, color=False).render(made))
    top = page.partition('<div id="first">')[2].partition("</div>")[0]
    assert top.count("<script") == 0
    assert "&lt;script&gt;" in top
    assert '<p class="headline">' in top
