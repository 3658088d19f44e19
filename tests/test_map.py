"""`llm_map` in whole runs: in the real sandbox, against scripted models that slip."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from llm_rlm import RLM, Limits, Settings
from llm_rlm.journal import Journal
from llm_rlm.places import journal_path
from llm_rlm.testing import Labeller, ScriptedModel, Slips, say
from scripts import run, scripted, submit_variable

if TYPE_CHECKING:
    from conftest import Serve
    from llm_rlm.testing import Reply, Request

LABELS = ["even", "odd"]
LINES = [f"line {n}" for n in range(120)]
TRUTH = [LABELS[n % 2] for n in range(120)]
SLIPS = Slips(drop=0.05, double=0.05, invent=0.05, reorder=0.3, renumber=0.1, garble=0.05)
FRESH = Settings(cache_days=0)

MAP = "rs = await llm_map(context.splitlines(), 'Is its number even?', labels=['even', 'odd'])"


def truth(text: str) -> str:
    return LABELS[int(text.split()[1]) % 2]


def labelling(slips: Slips = Slips()) -> ScriptedModel:  # noqa: B008 - frozen
    return ScriptedModel(Labeller(truth, LABELS, slips), "labeller")


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_every_item_has_its_label_though_the_model_drops_doubles_and_renumbers(serve: Serve, api: str) -> None:
    models = serve(
        run(f"{MAP}\nprint(rs.counts(), rs.calls, rs.errors)"), submit_variable("rs"), sub=Labeller(truth, LABELS, SLIPS)
    )
    result = RLM(api).ask("How many are even?", context="\n".join(LINES))
    assert result.answer == TRUTH
    assert models.tool_results[0].startswith("{'even': 60, 'odd': 60} ")
    assert result.usage.calls == len(models.sub_requests) > 3
    assert models.sub_requests[0].schema is not None
    assert models.sub_requests[0].schema["properties"]["results"]["items"]["properties"]["result"]["enum"] == LABELS


def test_a_model_without_schemas_is_told_the_schema() -> None:
    asked: list[str] = []

    def script(prompt: object) -> Reply:
        asked.append(str(getattr(prompt, "prompt", "")))
        return Labeller(truth, LABELS)(prompt)  # type: ignore[arg-type]

    model = ScriptedModel(script, "plain")
    model.supports_schema = False
    root = scripted(run(MAP), submit_variable("rs"))
    assert RLM(root, model, settings=FRESH).ask("?", context="\n".join(LINES)).answer == TRUTH
    assert '"enum": ["even", "odd"]' in asked[0]


def test_a_label_for_each_comes_with_votes_and_says_where_they_differed() -> None:
    code = (
        "rs = await llm_map(context.splitlines(), 'Is it even?', labels=['even', 'odd'], votes=2)\n"
        "found = {'labels': list(rs), 'differ': rs.disagreements, 'calls': rs.calls}"
    )
    model = labelling(Slips(mislabel=0.1))
    result = RLM(scripted(run(code), submit_variable("found")), model, settings=FRESH).ask("?", context="\n".join(LINES))
    found = result.answer
    assert 0 < len(found["differ"]) < 60
    assert sum(label != right for label, right in zip(found["labels"], TRUTH, strict=True)) < len(found["differ"])
    assert found["calls"] == result.usage.calls >= 7


def test_without_room_for_one_pass_nothing_is_sent_and_the_model_is_told() -> None:
    root = scripted(run(MAP), run("rs = budget()['calls']"), submit_variable("rs"))
    result = RLM(root, labelling(), Limits(calls=2), FRESH).ask("?", context="\n".join(LINES))
    assert (result.answer, result.usage.calls) == (2, 0)
    journal = Journal(journal_path())
    (shown,) = journal.rows("select output from readable_cells where number = 1")
    journal.close()
    assert "llm_map needs at least 3 calls (120 items, up to 50 a call), and 2 are left; nothing was asked" in shown["output"]


def test_a_resumed_run_pays_no_look_twice_and_finds_the_same() -> None:
    """The second map is held up by the limit in the middle of its further looks."""
    code = MAP + "\n" + MAP.replace("even?'", "even, really?'").replace("])", "], votes=2)")
    asked: list[str] = []
    answer = Labeller(truth, LABELS, replace(SLIPS, mislabel=0.1))

    def script(prompt: object) -> Reply:
        asked.append(str(getattr(prompt, "prompt", "")))
        return answer(prompt)  # type: ignore[arg-type]

    def whole(limit: int | None, *replies: Reply) -> RLM:
        root = scripted(*replies, submit_variable("rs"))
        return RLM(root, ScriptedModel(script, "labeller"), Limits(calls=limit), FRESH)

    complete = whole(None, run(code)).ask("?", context="\n".join(LINES))
    wanted = sorted(asked)
    asked.clear()
    stopped = whole(complete.usage.calls - 3, run(code)).ask("?", context="\n".join(LINES))
    assert stopped.finish == "limit"
    resumed = whole(complete.usage.calls).resume(stopped.run_id, context="\n".join(LINES))
    assert resumed.answer == complete.answer
    assert sorted(asked) == wanted


def test_a_map_that_had_no_room_is_refused_again_when_its_cell_is_run_again() -> None:
    """Where the run goes on with more room, the cells before are run again as they went."""
    root = scripted(
        run("kept = 5\n" + MAP), run("await llm_batch(['line 1', 'line 2', 'line 3'])\nrs = kept"), submit_variable("rs")
    )
    stopped = RLM(root, labelling(), Limits(calls=2), FRESH).ask("?", context="\n".join(LINES))
    assert stopped.finish == "limit"
    root = scripted(submit_variable("rs"), model_id="root")
    result = RLM(root, labelling(), Limits(calls=9), FRESH).resume(stopped.run_id, context="\n".join(LINES))
    assert result.answer == 5


def test_an_answer_that_did_not_fit_and_was_mended_is_one_item_for_the_cell(serve: Serve) -> None:
    def sub(request: Request) -> Reply:
        return say('{"n": 4}' if "You were asked this before" in request.prompt else "four")

    models = serve(run("r = await llm_query('How many?', schema='n int')\nn = r.data['n']"), submit_variable("n"), sub=sub)
    result = RLM("chat").ask("?", context="x")
    assert (result.answer, result.usage.calls, len(models.sub_requests)) == (4, 2, 2)
    journal = Journal(journal_path())
    requests = [json.loads(row["request"]) for row in journal.rows("select request from readable_calls order by id")]
    journal.close()
    assert [request.get("mends") for request in requests] == [None, True]
