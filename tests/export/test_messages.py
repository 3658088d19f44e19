"""Runs as messages in the form of OpenAI's chat API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm import RLM, RLMToolbox
from llm_rlm.export.messages import _chat, lines
from llm_rlm.journal import Journal
from llm_rlm.places import journal_path
from llm_rlm.testing import ScriptedModel, call, say
from scripts import run, scripted, submit, submit_variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import llm

    from conftest import Serve
    from llm_rlm.testing import Reply

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "export.schema.json").read_text("utf-8"))


def exported(run_id: str, *, calls: bool = False) -> list[dict[str, Any]]:
    """The lines of a run, through JSON, each of which fits the schema and keeps the law."""
    journal = Journal(journal_path())
    try:
        made = [json.loads(json.dumps(line)) for line in lines(journal, run_id, calls=calls)]
    finally:
        journal.close()
    for line in made:
        jsonschema.Draft202012Validator(SCHEMA).validate(line)
        check_law(line["messages"])
    return made


def check_law(messages: Sequence[dict[str, Any]]) -> None:
    """What APIs demand: each call has its result right after it, but those of the last message; none has two."""
    waiting: list[str] = []
    before = ""
    for message in messages:
        role = message["role"]
        assert role != "system" or before == ""
        if role == "tool":
            waiting.remove(message["tool_call_id"])
        else:
            assert not waiting
            assert not (role == before == "assistant")
        for asked in message.get("tool_calls", ()):
            assert isinstance(json.loads(asked["function"]["arguments"]), dict)
            waiting.append(asked["id"])
        before = role
    assert not waiting or before == "assistant"


def upper(prompt: llm.Prompt) -> Reply | str:
    return submit("four") if prompt.tools else str(prompt.prompt).upper()


def roles(line: dict[str, Any]) -> list[str]:
    return [message["role"] for message in line["messages"]]


def test_a_run_is_the_conversation_that_was_had(serve: Serve) -> None:
    models = serve(run("len(context)"), run("a = 1"), submit("done"))
    result = RLM("chat", "responses").ask("How long?", "abc")
    (line,) = exported(result.run_id)
    assert roles(line) == ["system", "user", "assistant", "tool", "assistant", "tool", "assistant"]
    sent = models.root_requests[-1].body
    assert [[message["role"], message["content"]] for message in line["messages"][:-1] if message["role"] != "assistant"] == [
        [message["role"], message["content"]] for message in sent["messages"] if message["role"] != "assistant"
    ]
    assert line["tools"] == [{"type": "function", "function": tool["function"]} for tool in sent["tools"]]
    (last,) = line["messages"][-1]["tool_calls"]
    assert json.loads(last["function"]["arguments"]) == {"answer": "done"}
    told = {name: line[name] for name in ("kind", "part", "parts", "known", "run_id", "answer", "finish", "model")}
    assert told == {
        "kind": "run",
        "part": 1,
        "parts": 1,
        "known": 0,
        "run_id": result.run_id,
        "answer": "done",
        "finish": "submitted",
        "model": "chat",
    }


def test_calls_and_child_runs_are_further_lines() -> None:
    root = scripted(
        run("rs = await llm_batch(['a', 'b'], system='Be loud.')"),
        run("c = str(await rlm_query('How long?', context='abcd'))"),
        submit_variable("c"),
    )
    result = RLM(root, ScriptedModel(upper, "sub")).ask("?", "x")
    first, *rest = exported(result.run_id, calls=True)
    assert [line["kind"] for line in rest] == ["call", "call", "run"]
    assert [message["content"] for message in rest[0]["messages"]] == ["Be loud.", "a", "A"]
    assert {line["run_id"] for line in rest[:2]} == {result.run_id}
    assert (rest[2]["parent"], rest[2]["answer"], rest[2]["question"]) == (result.run_id, "four", "How long?")
    assert first["parent"] is None
    assert "tools" in rest[2]


def test_a_model_that_writes_blocks_of_code_has_plain_messages() -> None:
    root = scripted("```python\n1 + 1\n```", '```python\nsubmit("two")\n```')
    result = RLM(root, protocol="code").ask("?", "x")
    (line,) = exported(result.run_id)
    assert roles(line) == ["system", "user", "assistant", "user", "assistant"]
    assert "tools" not in line


def test_a_conversation_that_was_shortened_is_one_line_for_each_that_was_had() -> None:
    cells = [run(f"print('{number}' * 6000)") for number in range(12)]
    result = RLM(scripted(*cells, submit("done")), windows={"root": 20_000}).ask("?", "x")
    made = exported(result.run_id)
    assert len(made) > 1
    assert [(line["part"], line["parts"]) for line in made] == [(at, len(made)) for at in range(1, len(made) + 1)]
    new = [message for line in made for message in line["messages"][line["known"] :] if message["role"] == "assistant"]
    ran = [json.loads(call["function"]["arguments"]) for message in new for call in message["tool_calls"]]
    assert ran == [{"code": f"print('{number}' * 6000)"} for number in range(12)] + [{"answer": "done"}]


def test_a_run_that_follows_another_begins_with_what_was_said_before() -> None:
    with RLM(scripted(run("a = 1"), submit("one"), submit("two"))).session("x") as session:
        first = session.ask("First?")
        second = session.ask("Second?")
    (before,) = exported(first.run_id)
    (after,) = exported(second.run_id)
    assert after["messages"][: after["known"]] == before["messages"]
    assert roles(after)[after["known"] :] == ["tool", "user", "assistant"]


def test_a_call_that_was_refused_and_a_reply_without_one_are_part_of_the_conversation() -> None:
    root = scripted(call("RLMToolbox_execute_python"), say("thinking aloud"), submit("done"))
    result = RLM(root).ask("?", "x")
    (line,) = exported(result.run_id)
    assert roles(line) == ["system", "user", "assistant", "tool", "assistant", "user", "assistant"]
    assert line["messages"][4] == {"role": "assistant", "content": "thinking aloud"}


def test_a_run_without_a_root_model_of_ours_has_calls_only() -> None:
    with RLMToolbox("x", ScriptedModel(upper, "sub")) as toolbox:
        toolbox.execute_python("await llm_query('a')")
    assert exported(str(toolbox.run_id)) == []
    assert [line["kind"] for line in exported(str(toolbox.run_id), calls=True)] == ["call"]


ID = st.one_of(st.none(), st.sampled_from(["a", "b"]))


@given(st.lists(st.lists(ID, min_size=1, max_size=3, unique_by=lambda each: each or object()), min_size=1, max_size=4))
def test_each_call_finds_its_result_also_where_the_provider_gives_no_ids(turns: list[list[str | None]]) -> None:
    said: list[dict[str, Any]] = [{"role": "user", "parts": [{"type": "text", "text": "?"}]}]
    for ids in turns:
        named: list[dict[str, Any]] = [{"tool_call_id": each} if each else {} for each in ids]
        calls = [{"type": "tool_call", "name": "f", "arguments": {"n": n}, **name} for n, name in enumerate(named)]
        results = [{"type": "tool_result", "name": "f", "output": str(n), **name} for n, name in enumerate(named)]
        said += [{"role": "assistant", "parts": calls}, {"role": "tool", "parts": results}]
    made, known = _chat(said, 0)
    check_law(made)
    assert known == 0
