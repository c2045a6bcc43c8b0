"""Words of closed sets, wherever they are written."""

from __future__ import annotations

import csv
import io
import json
import pickle
from copy import deepcopy
from dataclasses import asdict, replace

import pytest
from reports import SAMPLES

from gdbleak.recording.end import EndedBy
from gdbleak.report.comparison import Change
from gdbleak.report.model import Report, Verdict, Word
from gdbleak.text.choices import Choice

CHOICES = [*Word, *EndedBy, *Change]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_it_is_written_as_its_word(choice: Choice) -> None:
    """`format` of an enumeration differs from one version of Python to the next."""
    word = choice.value
    assert (f"{choice}", f"{choice:>9}", str(choice)) == (word, f"{word:>9}", word)
    assert ("%s" % choice, f"{choice!s}", ",".join([choice])) == (word, word, word)  # noqa: UP031
    assert json.dumps({choice: [choice]}) == json.dumps({word: [word]})
    assert json.dumps([choice], indent=2) == json.dumps([word], indent=2)
    written = io.StringIO()
    csv.writer(written).writerow([choice, 1])
    assert written.getvalue() == f"{word},1\r\n"


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_it_is_equal_to_its_word(choice: Choice) -> None:
    assert choice == choice.value
    assert choice in {choice.value}
    assert {choice: 1}[choice.value] == 1
    assert pickle.loads(pickle.dumps(choice)) is deepcopy(choice) is choice


def test_verdict_of_a_report_is_one() -> None:
    report: Report = SAMPLES["one-site"]
    site = replace(report.sites[0], verdict=Verdict(Word.SUSPECT, "0 of 9 freed"))
    assert json.dumps(asdict(site)).count('"leak?"') == 1
