"""A key is sent to its provider and stands nowhere else: not on the screen, not in a record, whatever fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from llm.cli import cli

from collector import Collector
from llm_rlm.export.otel import CONTENT
from llm_rlm.export.spans import Spans
from llm_rlm.journal import Journal
from llm_rlm.journal.history import find_run
from llm_rlm.places import journal_path
from llm_rlm.providers.models import describe
from llm_rlm.testing import Reply
from scripts import run, submit

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Serve

KEY = "k-canary/5e11+f00d=="
ASKS = "try:\n    r = await llm_query('x')\nexcept LLMError as problem:\n    r = str(problem)\nprint(r)\n"
ASKS += "print((await llm_batch(['y'])).errors)"
_FAILURES = {
    "401": Reply(status=401, text=f"Incorrect API key provided: {KEY}"),
    "403": Reply(status=403, text=f"Bearer {KEY} may not"),
    "400": Reply(status=400, text=f'{{"Authorization": "Bearer {KEY}"}}'),
    "404, the key in an address": Reply(status=404, text=f"no such page: /v1/chat?key={quote(KEY, safe='')}"),
    "429": Reply(status=429, text=f"slow down, {KEY}", headers={"x-should-retry": "false"}),
    "500": Reply(status=500, text=f"trace: api_key={KEY!r}", headers={"x-should-retry": "false"}),
}


def _places(user_path: Path) -> dict[str, bytes]:
    """What was kept of a run."""
    return {path.name: path.read_bytes() for path in user_path.rglob("*") if path.is_file() and path.suffix != ".yaml"}


def _is_nowhere(result: object, user_path: Path) -> None:
    shown = result.stdout + result.stderr  # type: ignore[attr-defined]
    for form in (KEY, quote(KEY, safe=""), "canary"):
        assert form not in shown
        assert {name for name, data in _places(user_path).items() if form.encode() in data} == set()


@pytest.mark.parametrize("model", ["chat", "responses"])
@pytest.mark.parametrize("kind", _FAILURES)
@pytest.mark.parametrize("form", [["--json"], ["-v"]], ids=["json", "verbose"])
def test_a_key_in_the_failure_of_the_root_model_is_nowhere(
    serve: Serve, user_path: Path, kind: str, model: str, form: list[str]
) -> None:
    models = serve(_FAILURES[kind], api_key_name="mine")
    result = CliRunner().invoke(cli, ["rlm", "?", "-m", model, "--key", KEY, *form], input="a text")
    assert (result.exit_code, bool(models.server.requests)) == (1, True)
    assert "rlm.db" in _places(user_path)
    _is_nowhere(result, user_path)


@pytest.mark.parametrize("kind", _FAILURES)
def test_a_key_in_the_failure_of_a_sub_model_is_nowhere(serve: Serve, user_path: Path, kind: str) -> None:
    models = serve(run(ASKS), submit("done"), sub=lambda _: _FAILURES[kind], api_key_name="mine")
    result = CliRunner().invoke(cli, ["rlm", "?", "-m", "chat", "--key", KEY, "-v"], input="a")
    assert (result.exit_code, result.stdout) == (0, "done\n")
    assert models.sub_requests
    assert "canary" not in "".join(models.tool_results)
    _is_nowhere(result, user_path)


def test_a_key_that_a_run_without_failures_is_made_with_is_in_no_record(serve: Serve, user_path: Path) -> None:
    serve(run("r = await llm_query('x')\nprint(r)"), submit("done"), api_key_name="mine")
    result = CliRunner().invoke(cli, ["rlm", "?", "-m", "chat", "--key", KEY, "--json"], input="a text")
    assert result.exit_code == 0
    _is_nowhere(result, user_path)


@pytest.mark.parametrize("kind", _FAILURES)
def test_a_key_in_a_failure_is_in_nothing_that_is_made_of_the_record(
    serve: Serve, user_path: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    serve(run(ASKS), _FAILURES[kind], sub=lambda _: _FAILURES[kind], api_key_name="mine")
    assert CliRunner().invoke(cli, ["rlm", "?", "-m", "chat", "--key", KEY, "--events"], input="a").exit_code == 1
    commands = (
        *(["show", "last", "--calls", "--full"], ["show", "last", "--calls", "--json"], ["runs", "--json"], ["cache"]),
        *(["report", "last", "--full", "-o", "-"], ["export", "last"], ["export", "--all", "--calls"]),
    )
    for command in commands:
        result = CliRunner().invoke(cli, ["rlm", *command])
        assert (command, result.exit_code) == (command, 0)
        _is_nowhere(result, user_path)
    journal = Journal(journal_path())
    spans = list(Spans(journal, lambda _: "p", content=True).of_run(find_run(journal, "last")))
    journal.close()
    assert spans
    assert "canary" not in repr(spans)
    monkeypatch.setenv(CONTENT, "true")
    with Collector().serving(monkeypatch) as collector:
        assert CliRunner().invoke(cli, ["rlm", "export", "last", "--otel"]).exit_code == 0
    assert len(collector.spans) == len(spans)
    assert b"LLMError as problem" in collector.raw
    for form in (KEY, quote(KEY, safe=""), "canary"):
        assert form.encode() not in collector.raw


def test_events_and_doctor_tell_no_key(serve: Serve, user_path: Path) -> None:
    (user_path / "keys.json").write_text(json.dumps({"mine": KEY}))
    serve(run(ASKS), submit("done"), sub=lambda _: _FAILURES["401"], api_key_name="mine")
    for command in (["?", "-m", "chat", "--events"], ["doctor", "-m", "chat"], ["doctor", "-m", "chat", "--json"]):
        result = CliRunner().invoke(cli, ["rlm", *command], input="a text")
        assert result.stdout
        assert "canary" not in result.stdout + result.stderr


def test_a_cell_finds_no_key(serve: Serve, user_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    look = "import gc, os, sys\nprint(dict(os.environ), sys.argv)\n"
    look += "print([o for o in gc.get_objects() if '-'.join(['', 'yranac'])[:0:-1] in repr(o)[:2000]])"
    models = serve(run(look), submit("done"), api_key_name="mine")
    result = CliRunner().invoke(cli, ["rlm", "?", "-m", "chat", "--key", KEY], input="a text")
    assert result.exit_code == 0
    assert KEY not in models.tool_results[0]
    _is_nowhere(result, user_path)


@pytest.mark.parametrize("text", [KEY, f"a{KEY}b", f"?key={quote(KEY, safe='')}&a", f"{KEY}{KEY}", f"{KEY} " * 99])
def test_a_key_in_any_form_is_taken_out_of_the_text_of_an_error(text: str) -> None:
    assert "canary" not in describe(ValueError(text), KEY)
    assert "[key]" in describe(ValueError(text), KEY)
