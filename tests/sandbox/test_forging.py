"""Cells that get at the driver's channel and speak in its name: they gain nothing that plain code has not."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from llm_rlm.sandbox import Answer

if TYPE_CHECKING:
    from .conftest import Make
    from .fakes import Answering, Notebook

_SAY = "import _eryx, json\ndef say(**frame): _eryx._eryx_report_output(0, json.dumps(frame).encode())\n"
_OWN_KEY = _SAY + "import sys\nframe = sys._getframe()\nkey = None\n"
_OWN_KEY += "while frame is not None and key is None:\n    inner = frame.f_locals.get('frame')\n"
_OWN_KEY += "    key = inner.get('key') if isinstance(inner, dict) else None\n    frame = frame.f_back\n"
_OWN_KEY += """
import asyncio
for task in asyncio.tasks._scheduled_tasks if key is None else ():
    coro = task.get_coro()
    local = getattr(getattr(coro, 'cr_frame', None), 'f_locals', {})
    key = key or (local['frame'].get('key') if isinstance(local.get('frame'), dict) else None)
"""
_DONE = "say(t='done', key=key, error=None, tail='said by the cell', total=16, running=0.0, variables=[])\n"


def test_a_forged_submission_is_one_as_submit_makes_it(session: Notebook) -> None:
    forged = session.run(_SAY + "say(t='submit', text='a', last=True, kind='json', quotes=['b', 3])").submitted
    assert forged == Answer("a", quotes=("b",))


@pytest.mark.parametrize(
    "frame",
    [
        {"t": "ready"},
        {"t": "begun", "key": "x"},
        {"t": "done", "key": "x", "error": None, "tail": "FORGED", "total": 1, "running": 0.0, "variables": []},
        {"t": "value", "text": "FORGED", "last": True},
        {"t": "touched", "documents": [0, -1, "x", None]},
        {"t": "ended", "reason": "FORGED"},
        {"t": "broken", "reason": "FORGED"},
    ],
)
def test_a_forged_frame_changes_nothing(session: Notebook, frame: dict[str, object]) -> None:
    session.run("kept = 1\n" + _SAY)
    result = session.run(f"say(**json.loads({json.dumps(frame)!r}))\nprint(kept)")
    assert (result.outcome, result.output, result.submitted) == ("ok", "1\n", None)
    assert session.value("kept").text == "1"


def test_a_forged_call_is_a_call_like_any_other(session: Notebook, calls: Answering) -> None:
    call = {"id": 10**6, "prompt": "p", "replay": True, "free": True}
    session.run(_SAY + f"say(t='calls', calls=[json.loads({json.dumps(call)!r})])\nimport asyncio\nawait asyncio.sleep(0.05)")
    (asked,) = calls.asked
    assert (asked.prompt, asked.kind, asked.replay) == ("p", "model", False)


def test_one_number_for_many_calls_is_one_call(session: Notebook, calls: Answering) -> None:
    session.run(_SAY + "say(t='calls', calls=[{'id': 7, 'prompt': 'hang'}] * 99)")
    assert len(calls.asked) == 1


@pytest.mark.parametrize("number", ["-1", "1 << 64", "10 ** 4000"])
def test_a_question_without_a_place_in_the_window_ends_the_interpreter_alone(session: Notebook, number: str) -> None:
    session.run("kept = 1")
    assert session.run(_SAY + f"say(t='ask', n={number}, name='grep', arguments={{}})\nwhile True: pass").outcome == "lost"
    assert session.run("kept").output == "1\n"


def test_a_cell_that_says_itself_that_it_is_done_can_ask_nothing_afterwards(make: Make, calls: Answering) -> None:
    session = make()
    more = "import asyncio\nawait asyncio.sleep(0.3)\nawait llm_query('after the end')"
    forged = session.run(_OWN_KEY + "assert key\n" + _DONE + more)
    assert (forged.outcome, forged.output) == ("ok", "said by the cell")
    time.sleep(0.8)
    assert calls.asked == []


def test_what_a_task_asks_between_cells_waits_for_the_next_cell(make: Make, calls: Answering) -> None:
    session = make()
    late = "import asyncio\nasync def late():\n    await asyncio.sleep(0.2)\n    return await llm_query('late')\n"
    session.run(late + "t = asyncio.create_task(late())")
    assert session.run("import time\ntime.sleep(0.4)").outcome == "ok"
    assert session.run("str(await t)").output == "'re: late'\n"
    assert [request.prompt for request in calls.asked] == ["late"]


def test_a_forged_call_with_a_longer_prompt_than_any_guest_sends_is_not_made(make: Make, calls: Answering) -> None:
    long = "say(t='calls', calls=[{'id': 10**6, 'prompt': 'x' * 20_000_001}])\nimport asyncio\nawait asyncio.sleep(9)"
    result = make().run(_SAY + long)
    assert result.outcome == "lost"
    assert "malformed call" in "".join(result.notes)
    assert calls.asked == []
