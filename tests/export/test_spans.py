"""Runs as OpenTelemetry spans: made from the journal, and sent."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from llm.cli import cli
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from ulid import ULID

from collector import Collector
from llm_rlm import RLM, Limits, RLMError, RLMToolbox, RunFailedError
from llm_rlm.cli import telemetry
from llm_rlm.export.otel import CONTENT, provider_of, send
from llm_rlm.journal import Journal
from llm_rlm.places import journal_path
from llm_rlm.testing import Reply, ScriptedModel
from scripts import run, scripted, submit

if TYPE_CHECKING:
    from pathlib import Path

    import llm
    from click.testing import Result
    from opentelemetry.sdk.trace import ReadableSpan

    from conftest import Serve


def upper(prompt: llm.Prompt) -> Reply | str:
    if prompt.tools:
        return submit("four")
    if prompt.prompt == "bad":
        raise ValueError
    return str(prompt.prompt).upper()


def ask(*cells: str, **engine: Any) -> str:
    """The id of a run with these cells."""
    root = scripted(*map(run, cells), submit("done"))
    return RLM(root, ScriptedModel(upper, "sub"), **engine).ask("Which?", "some text").run_id


def spans(run_id: str, *, content: bool | None = None) -> list[ReadableSpan]:
    exporter = InMemorySpanExporter()
    with closing(Journal(journal_path())) as journal:
        count = send(journal, run_id, exporter, content=content)
    found = list(exporter.get_finished_spans())
    assert len(found) == count
    return found


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_run_is_a_tree_of_spans_named_as_the_conventions_name_them() -> None:
    run_id = ask("await llm_batch(['a', 'b'])", "await rlm_query('How long?', context='abcd')")
    found = spans(run_id)
    names = {span.context.span_id: span.name for span in found if span.context is not None}
    tree = [(span.name, names[span.parent.span_id] if span.parent is not None else None) for span in found]
    cell = "execute_tool RLMToolbox_execute_python"
    assert sorted(tree, key=str) == sorted(
        [
            ("invoke_agent llm-rlm", None),
            *[("chat root", "invoke_agent llm-rlm")] * 3,
            *[(cell, "invoke_agent llm-rlm")] * 2,
            *[("chat sub", cell)] * 2,
            ("invoke_agent llm-rlm", cell),
            ("chat sub", "invoke_agent llm-rlm"),
        ],
        key=str,
    )
    assert {attributes(span)["gen_ai.operation.name"] for span in found} == {"invoke_agent", "chat", "execute_tool"}
    assert all(span.kind is (SpanKind.CLIENT if span.name.startswith("chat") else SpanKind.INTERNAL) for span in found)
    assert all(span.status.status_code is StatusCode.UNSET for span in found)
    assert {span.context.trace_id for span in found if span.context is not None} == {int(ULID.from_str(run_id.upper()))}


def test_spans_last_as_long_as_what_they_are_of_and_lie_within_their_parents() -> None:
    found = spans(ask("await llm_query('a')"))
    by_id = {span.context.span_id: span for span in found if span.context is not None}
    for span in found:
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time
        if span.parent is not None:
            parent = by_id[span.parent.span_id]
            assert (parent.start_time or 0) <= span.start_time
            assert span.end_time <= (parent.end_time or 0)


def test_a_chat_span_has_model_provider_and_tokens() -> None:
    (call,) = [span for span in spans(ask("await llm_query('abcdefgh')")) if span.name == "chat sub"]
    told = attributes(call)
    assert told["gen_ai.request.model"] == "sub"
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (2, 2)
    assert told["gen_ai.provider.name"] == "_OTHER"


def test_the_provider_is_named_by_the_plugin_of_the_model(serve: Serve) -> None:
    serve(submit("done"))
    assert provider_of("chat") == "openai"
    assert provider_of("no such model") == "_OTHER"


def test_the_same_run_gives_the_same_spans_again() -> None:
    run_id = ask("1 / 0")
    assert [(span.name, span.context) for span in spans(run_id)] == [(span.name, span.context) for span in spans(run_id)]


def test_what_failed_is_an_error_of_few_kinds() -> None:
    run_id = ask("1 / 0", "rs = await llm_batch(['a', 'b', 'bad'])", limits=Limits(calls=2))
    bad = [span for span in spans(run_id) if span.status.status_code is StatusCode.ERROR]
    assert {attributes(span)["error.type"] for span in bad} <= {"error", "failed", "refused"}
    assert {span.name for span in bad} == {"execute_tool RLMToolbox_execute_python", "chat sub"}


def test_a_run_that_failed_is_an_error_that_says_why() -> None:
    def fail(_: llm.Prompt) -> str:
        raise ValueError

    with pytest.raises(RunFailedError) as failed:
        RLM(ScriptedModel(fail, "root")).ask("?", "x")
    top, turn = spans(failed.value.result.run_id)
    assert (top.status.status_code, top.status.description) == (StatusCode.ERROR, failed.value.result.error)
    assert attributes(turn)["error.type"] == "no_reply"


def test_what_was_said_is_left_out_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = ask("await llm_query('secret prompt')\nprint('secret output')")
    assert "secret" not in "".join(span.to_json() for span in spans(run_id))
    told = [attributes(span) for span in spans(run_id, content=True)]
    call = next(each for each in told if each.get("gen_ai.request.model") == "sub")
    assert json.loads(call["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "secret prompt"}]}
    ]
    turns = [each for each in told if "llm_rlm.turn" in each]
    (asked,) = json.loads(turns[0]["gen_ai.output.messages"])[0]["parts"]
    assert "secret output" in asked["arguments"]["code"]
    assert "secret output" in turns[1]["gen_ai.input.messages"]
    assert "gen_ai.system_instructions" in turns[0]
    monkeypatch.setenv(CONTENT, "true")
    assert "secret" in "".join(span.to_json() for span in spans(run_id))


def test_a_run_of_the_toolbox_and_one_that_goes_on_have_spans_too() -> None:
    toolbox = RLMToolbox("x", ScriptedModel(upper, "sub"))
    toolbox.execute_python("await llm_query('a')")
    going_on = spans(str(toolbox.run_id))
    toolbox.close()
    assert [span.name.split()[0] for span in going_on] == ["invoke_agent", "execute_tool", "chat"]
    assert attributes(going_on[0])["llm_rlm.run.state"] == "running"
    assert attributes(spans(str(toolbox.run_id))[0])["llm_rlm.run.state"] == "ended"


def llm_rlm(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["rlm", *arguments])


def test_the_command_sends_a_run_by_otlp(monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = ask("await llm_query('a')")
    with Collector().serving(monkeypatch) as collector:
        done = llm_rlm("export", "last", "--otel")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"Sent 5 spans of run {run_id}.\n"
    assert [path for path, _ in collector.received] == ["/v1/traces"]
    assert {span.trace_id for span in collector.spans} == {int(ULID.from_str(run_id.upper())).to_bytes(16)}
    (resource,) = collector.received[0][1].resource_spans
    assert ("service.name", "llm-rlm") in {(each.key, each.value.string_value) for each in resource.resource.attributes}


def test_a_collector_that_refuses_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = ask()
    with (
        Collector(status=400).serving(monkeypatch),
        closing(Journal(journal_path())) as journal,
        pytest.raises(RLMError, match=r"could not be sent: .*OTEL_EXPORTER_OTLP_ENDPOINT"),
    ):
        send(journal, run_id)


def test_without_the_extra_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    ask()
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    done = llm_rlm("export", "last", "--otel")
    assert done.exit_code == 2
    assert "llm install 'llm-rlm[otel]'" in done.stderr


@pytest.fixture
def wished(user_path: Path, tmp_path: Path, serve: Serve) -> tuple[str, ...]:
    """A question of a user who wants each run sent."""
    (user_path / "rlm.toml").write_text("otel = true")
    serve(run("submit('done')"))
    (tmp_path / "in.txt").write_text("x")
    return ("Which?", "-m", "chat", "-c", str(tmp_path / "in.txt"))


def test_where_it_is_wished_for_each_run_is_sent_once_it_has_ended(
    wished: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collector().serving(monkeypatch) as collector:
        done = llm_rlm(*wished)
        unkept = llm_rlm(*wished, "--no-log")
    assert (done.exit_code, done.stdout, unkept.exit_code) == (0, "done\n", 0)
    assert "Warning" not in done.stderr + unkept.stderr
    assert len(collector.spans) == 3


def test_a_collector_that_is_not_there_or_hangs_is_a_warning_and_the_run_stays_what_it_is(
    wished: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "PATIENCE", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as hanging:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{hanging.getsockname()[1]}")
        done = llm_rlm(*wished, "--json")
    assert done.exit_code == 0
    run_id = json.loads(done.stdout)["run_id"]
    assert "Warning: OpenTelemetry: " in done.stderr
    assert f"llm rlm export {run_id} --otel" in done.stderr
