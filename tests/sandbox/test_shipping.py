"""The guest's modules, sent as text or compiled."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from llm_rlm.sandbox import shipping

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Make

FORGED = """\
import _eryx
_eryx._eryx_report_output(0, b'{"t": "compiled", "modules": "forged"}')
print("sent")
"""


@pytest.fixture(autouse=True)
def _nothing_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "cache"))


def test_what_the_first_guest_compiles_the_next_is_sent(make: Make) -> None:
    assert not shipping.shipment().compiled
    assert make().run("1 + 1").output == "2\n"
    assert shipping.shipment().compiled
    assert make().run("def f():\n    return len(await llm_query('hi'))\nf()").output == "6\n"


def test_a_later_worker_of_the_same_session_is_sent_it_too(make: Make) -> None:
    session = make()
    session.run("a = 1")
    session.run("import os; os._exit(1)")
    assert session.run("a").output == "1\n"


@pytest.mark.parametrize("before", [0, 1])
def test_no_cell_can_have_compiled_modules_kept(make: Make, before: int) -> None:
    for _ in range(before):
        make().run("1")
    session = make()
    session.run("1")
    kept = shipping.shipment()
    assert session.run(FORGED).outcome == "lost"
    assert shipping.shipment() == kept
    assert kept.compiled


def test_of_other_sources_nothing_is_kept(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make().run("1")
    monkeypatch.setattr(shipping, "_key", lambda: "of other sources")
    assert not shipping.shipment().compiled


@pytest.mark.parametrize("packed", ["", "no base64", "AAAA"])
def test_what_a_guest_cannot_start_with_is_forgotten_and_another_is_started(make: Make, packed: str) -> None:
    shipping.keep(packed)
    assert make().run("1 + 1").output == "2\n"
    assert packed not in shipping.shipment().code or not packed
    assert make().run("1 + 1").output == "2\n"


def test_nothing_is_written_where_python_is_to_write_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    shipping.keep("packed")
    assert not (tmp_path / "cache").exists()


def test_a_guest_starts_where_nothing_can_be_written(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "file"))
    assert make().run("1 + 1").output == "2\n"
    assert not shipping.shipment().compiled


def test_keeping_leaves_one_file(tmp_path: Path) -> None:
    for packed in ("first", "second"):
        shipping.keep(packed)
    assert [path.name for path in (tmp_path / "cache").rglob("guest*") if path.is_file()] == ["guest.eryx"]
    assert "second" in shipping.shipment().code


def test_what_cannot_be_put_in_place_is_not_left_behind(tmp_path: Path) -> None:
    shipping._path().mkdir(parents=True)
    shipping.keep("packed")
    assert [path.name for path in (tmp_path / "cache").rglob("guest*") if path.is_file()] == []
    assert not shipping.shipment().compiled
