"""The scripted labeller slips as often as it is told to."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from llm_rlm.testing import Labeller, Slips

LABELS = ["even", "odd", "none"]


@dataclass(frozen=True)
class Prompt:
    prompt: str


def truth(text: str) -> str:
    return LABELS[int(text) % 2]


def asked(count: int = 1000) -> Prompt:
    return Prompt("\n\n".join(f"<item {1000 + n}>\n{n}\n</item {1000 + n}>" for n in range(count)))


def entries(slips: Slips) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(Labeller(truth, LABELS, slips)(asked()).text)["results"]
    return found


def test_without_slips_every_item_has_its_label_in_order() -> None:
    assert entries(Slips()) == [{"item": 1000 + n, "result": truth(str(n))} for n in range(1000)]


def test_items_are_dropped_doubled_and_mislabelled_at_the_rates_given() -> None:
    found = entries(Slips(drop=0.1, double=0.1, mislabel=0.2, stubborn=0.1, invent=0.1))
    times = Counter(entry["item"] for entry in found)
    assert 850 < len(times) < 950
    assert 60 < sum(count == 2 for count in times.values()) < 130
    wrong = [entry for entry in found if entry["result"] != truth(str(entry["item"] - 1000))]
    assert 0.25 < len(wrong) / len(found) < 0.55
    assert any(entry["result"].startswith("probably ") for entry in wrong)


def test_answers_are_reordered_renumbered_and_garbled() -> None:
    assert [entry["item"] for entry in entries(Slips(reorder=1))] != list(range(1000, 2000))
    assert [entry["item"] for entry in entries(Slips(renumber=1))] == list(range(1, 1001))
    assert "{" not in Labeller(truth, LABELS, Slips(garble=1))(asked()).text


def test_the_same_prompt_gets_the_same_answer() -> None:
    assert entries(Slips(mislabel=0.5)) == entries(Slips(mislabel=0.5))


def test_a_rate_out_of_range_is_an_error() -> None:
    with pytest.raises(ValueError, match="drop is from 0 to 1, not 2"):
        Slips(drop=2)
