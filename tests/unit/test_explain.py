"""`gdbleak explain`: every word of a report is explained, and found however it is typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gdbleak import cli
from gdbleak.errors import UsageError
from gdbleak.report.model import Word
from gdbleak.verdicts.explanations import EXPLANATIONS

VERDICTS = (Path(__file__).parents[2] / "docs" / "verdicts.md").read_text()


def test_every_verdict_and_two_more_words_are_explained():
    assert set(EXPLANATIONS) == {*Word, "lost", "SAMPLED"}


def test_documentation_has_the_same_words():
    table = VERDICTS.partition("| Word | Meaning |")[2].partition("\n\n")[0]
    documented = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert set(documented) == {*Word}
    assert all(f"`{word}`" in VERDICTS for word in EXPLANATIONS)


@pytest.mark.parametrize("word", EXPLANATIONS)
def test_explanations_are_short(word, capsys):
    assert cli.main(["explain", word]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{word}: ")
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert [line for line in lines if line.endswith(":") and line[0] != " "] == [
        "How it is decided:",
        "What to do:",
        "When it is wrong:",
    ]


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        (["leak"], "leak"),
        (["leak?"], "leak?"),
        (["Cache"], "cache?"),
        (["too", "few"], "too few"),
        (["too few"], "too few"),
        (["too-few"], "too few"),
        (["sampled"], "SAMPLED"),
        (["LOST"], "lost"),
    ],
)
def test_however_it_is_typed(typed, word, capsys):
    assert cli.main(["explain", *typed]) == 0
    assert capsys.readouterr().out.startswith(f"{word}: ")


def test_several_words(capsys):
    assert cli.main(["explain", "churn", "lost"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("churn: ")
    assert "\n\nlost: " in said


def test_without_a_word_all_are_listed(capsys):
    assert cli.main(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(any(line.startswith(f"{word} ") for line in lines) for word in EXPLANATIONS)


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("grwing", "`gdbleak explain growing`"),
        ("leek", "`gdbleak explain leak` or `gdbleak explain leak?`"),
        ("xyzzy", "`gdbleak explain` lists them"),
    ],
)
def test_unknown_word(capsys, word, advice):
    assert cli.main(["explain", word]) == UsageError.exit_code
    said = capsys.readouterr().err
    assert said == f"gdbleak: {word!r} is not a word of a report\n  try: {advice}\n"
