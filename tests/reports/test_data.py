"""What a page says of a run, gathered from the journal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from llm_rlm import RLM
from llm_rlm.journal import Journal
from llm_rlm.journal.owner import claim, let_go
from llm_rlm.journal.records import CRASHED, ENDED, Call, Took
from llm_rlm.places import journal_path
from llm_rlm.report import data
from llm_rlm.report.data import gather, waited
from llm_rlm.report.page import render
from llm_rlm.testing import ScriptedModel
from reports.plays import long_run
from scripts import run, scripted, submit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from llm_rlm.report.data import Report


@contextmanager
def opened() -> Iterator[Journal]:
    journal = Journal(journal_path())
    try:
        yield journal
    finally:
        journal.close()


def report_of(run_id: str, *, full: bool = False) -> Report:
    with opened() as journal:
        return gather(journal, run_id, full=full)


def test_a_run_has_its_turns_cells_calls_and_children_and_sums_that_agree_with_its_usage(tmp_path: Path) -> None:
    result = long_run(tmp_path)
    report = report_of(result.run_id)
    assert [turn.turn.number for turn in report.run.turns if turn.turn] == [
        1,
        2,
        3,
        4,
        5,
    ]  # the first answer had a quote that is not there
    batch, child, broken = report.run.cells
    assert dict(batch.states) == {"answered": 19, "failed": 1}
    assert [below.result.question for below in child.children] == ["What is in it?"]
    assert (broken.cell.outcome, broken.waited) == ("error", 0.0)
    assert 0.05 <= batch.waited < sum(call.took.seconds or 0 for call in batch.calls)
    usage = result.usage
    sums = report.by_model.values()
    assert sum(each.calls for each in sums) == usage.calls - 1  # that began the child run
    assert sum(turn.sum.calls for turn in report.run.turns) == usage.calls
    assert sum(each.failed for each in sums) == usage.failed == 1
    assert sum(each.input + each.output for each in sums) == usage.tokens
    assert sum(turn.sum.tokens for turn in report.run.turns) == usage.tokens
    assert sum(turn.sum.cost for turn in report.run.turns) == pytest.approx(usage.cost)
    assert {name: (each.turns > 0, each.calls > 0) for name, each in report.by_model.items()} == {
        "root": (True, False),
        "sub": (True, True),
    }
    found, not_there = report.passages
    assert found is not None
    assert found.quote == "The fee for late returns is 12.50 a day."
    assert not_there is None


def test_what_the_script_reads_has_every_call_with_its_texts_by_number(tmp_path: Path) -> None:
    report = report_of(long_run(tmp_path).run_id)
    calls = report.payload["calls"]
    first = next(row for row in calls if report.texts[row[6]] == "item 0")
    assert (first[1], first[2], first[3], first[4]) == (0, 1, "model", "answered")
    assert report.texts[first[11]] == "label of item 0"
    assert report.texts[first[14]] == "sub"
    assert first[23] >= first[22] >= 0
    failed = [row for row in calls if row[4] == "failed"]
    assert [report.texts[row[6]] for row in failed] == ["item 7"]
    (child,) = [row for row in calls if row[15] is not None]
    assert report.payload["runs"][child[15]]["call"] == child[0]
    assert len(calls) == 22


def test_calls_that_overlap_are_waited_for_once() -> None:
    def call(started: float, ended: float | None) -> Call:
        took = Took(None, None, None, None, 1, 0, started, ended)
        return Call(1, 1, "model", "m", "answered", 1, None, None, "r", None, None, took)

    assert waited([call(1, 3), call(2, 4), call(2.5, 2.6), call(6, 7), call(9, None)]) == 4
    assert waited([]) == 0


def test_long_texts_are_cut_unless_all_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a" * 50_000)
    root = scripted(run("print(context)\nr = await llm_query('b' * 30_000)"), submit("done"))
    result = RLM(root, ScriptedModel(lambda _: "c", "sub")).ask("?", tmp_path / "a.txt")
    short, whole = report_of(result.run_id), report_of(result.run_id, full=True)
    assert max(map(len, short.texts)) < 20_100
    assert max(map(len, whole.texts)) == 30_000
    assert (short.most_of_call, whole.most, whole.most_of_call) == (20_000, None, None)
    assert "b" * 30_000 in "".join(render(whole))
    assert "b" * 20_001 not in "".join(render(short))


def test_more_child_runs_than_a_page_can_have_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "MOST_RUNS", 0)
    report = report_of(long_run(tmp_path).run_id)
    assert (report.left_out, len(report.payload["runs"])) == (1, 1)
    assert "1 further child run is not in this report" in "".join(render(report))


def test_a_run_whose_process_has_gone_and_one_of_another_chain_can_be_reported() -> None:
    owner = claim()
    let_go(owner)
    with opened() as journal:
        journal.begin_run("01crashed", question="Why?", model="m", sub_model="s", settings="{}", process=owner)
        journal.begin_cell("01crashed", 1, "print(1)", 1, 0)
        journal.begin_run("01ended", question=None, model=None, sub_model="s", settings="{}", process=None)
        journal.begin_cell("01ended", 1, "print(2)", None, None)
        journal.end_cell("01ended", 1, "2\n", "2\n", outcome="ok", running=0.1)
        journal.end_run("01ended", answer=None, finish=None)
        crashed, ended = gather(journal, "01crashed"), gather(journal, "01ended")
    assert crashed.run.record.state == CRASHED
    page = "".join(render(crashed))
    assert "llm rlm resume 01crashed" in page
    assert "not finished" in page
    assert ended.run.record.state == ENDED
    assert [cell.cell.output for cell in ended.run.cells] == ["2\n"]
    assert "A run without a question of its own" in "".join(render(ended))
