"""A run of a journal that is damaged, or was made by somebody else, and is to go on: what is trusted of it, and what is not."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llm.cli import cli

from damage import TEXT, WEIRD, alter, end_well, places, put, registered, unfinished_journal, written
from llm_rlm import RLM, RLMError, Settings, UsageError
from llm_rlm.places import journal_path
from llm_rlm.testing import ScriptedModel
from scripts import submit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import llm
    from click.testing import Result

RESUME = ("resume", "last", "--max-turns", "9", "-c", "-")
_VALUES = st.sampled_from(
    [*(None, True, -1, 0, 0.5, 10**400, 2**63, float("nan"), float("inf"), "", "x", "/etc/passwd", "-"), [], [1], {}, {"a": 1}]
)


@dataclass
class Asked:
    """What the two models were asked."""

    prompts: list[llm.Prompt] = field(default_factory=list)

    def answer(self, prompt: llm.Prompt) -> Any:
        self.prompts.append(prompt)
        return submit("end") if prompt.tools else "said"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """A journal of a run to go on with, its models, and a folder where nothing is."""
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    put(unfinished_journal())
    asked = Asked()
    with registered(ScriptedModel(asked.answer, "root"), ScriptedModel(asked.answer, "sub")):
        yield asked


def resume(*more: str, given: str | None = TEXT) -> Result:
    return CliRunner().invoke(cli, ["rlm", *(RESUME if given is not None else RESUME[:-2]), *more], input=given)


def recorded() -> dict[str, Any]:
    """The settings of the run."""
    with closing(sqlite3.connect(journal_path())) as db:
        (text,) = db.execute("select settings from runs where question = 'Second?'").fetchone()
    found: dict[str, Any] = json.loads(text)
    return found


def record(changed: dict[str, Any]) -> None:
    alter(("update runs set settings = ? where question = 'Second?'", (json.dumps(changed),)))


def sources(*names: str) -> None:
    """Let these be what the run has read."""
    record(recorded() | {"sources": {"names": list(names), "walking": {"hidden": False, "ignore": True}, "base": "."}})


def test_the_run_goes_on_when_nothing_is_wrong(asked: Asked) -> None:
    done = resume()
    assert (done.exit_code, done.stdout) == (0, "end\n")
    assert [prompt.tools != [] for prompt in asked.prompts] == [True]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_run_with_any_values_goes_on_or_is_said_to_be_damaged(tmp_path: Path, asked: Asked, data: st.DataObject) -> None:
    put(unfinished_journal())
    table, column = data.draw(st.sampled_from(places()))
    value, number = data.draw(WEIRD), data.draw(st.integers(0, 3))
    place = "" if number == 3 else f"where {column} = (select {column} from {table} limit 1 offset {number})"  # noqa: S608 - names of the file
    alter((f"update or ignore {table} set {column} = ? {place}", (value,)))  # noqa: S608 - names of the file
    asked.prompts.clear()
    list(end_well(RESUME, stdin=TEXT))
    assert len(asked.prompts) <= 9
    assert written(tmp_path) == []


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_settings_with_any_values_are_kept_to_or_said_to_be_damaged(tmp_path: Path, asked: Asked, data: st.DataObject) -> None:
    put(unfinished_journal())
    found = recorded()
    part = data.draw(st.sampled_from([found, found["limits"], found["asked"]]))
    part[data.draw(st.sampled_from([*part, "llm_log", "log", "key", "model", "functions"]))] = data.draw(_VALUES)
    record(found)
    asked.prompts.clear()
    list(end_well(RESUME, stdin=TEXT))
    assert len(asked.prompts) <= 9
    assert written(tmp_path) == []


def test_a_run_without_a_question_is_refused(asked: Asked) -> None:
    alter(("update runs set question = ' ' where question = 'Second?'", ()))
    assert "the question of run" in resume().stderr
    assert asked.prompts == []


@pytest.mark.parametrize(("table", "said"), [("turns", "turns of run"), ("runs", "is named, and not there")])
def test_a_run_whose_rows_are_missing_is_refused(asked: Asked, table: str, said: str) -> None:
    first = {"turns": "number = 1 and run_id = (select id from runs where question = 'Second?')", "runs": "question = 'First?'"}
    alter((f"delete from {table} where {first[table]}", ()))  # noqa: S608 - our own names
    assert said in resume().stderr
    assert asked.prompts == []


def test_the_journal_lets_no_tool_run_that_is_not_named_again(asked: Asked) -> None:
    found = recorded()
    record(found | {"asked": found["asked"] | {"tools": ["llm_time"]}})
    refused = resume()
    assert refused.exit_code == 2
    assert "could call the tool llm_time, which runs on this machine, as you: add --tool 'llm_time'" in refused.stderr
    followed = CliRunner().invoke(cli, ["rlm", "chat", "--follow", "last", "-c", "x"], input="Third?")
    assert "add --tool 'llm_time'" in followed.stderr
    assert asked.prompts == []
    assert resume("--tool", "llm_time").stdout == "end\n"


def test_a_tool_that_the_run_did_not_have_is_refused(asked: Asked) -> None:
    assert "could not call the tool llm_time: leave out --tool 'llm_time'" in resume("--tool", "llm_time").stderr
    assert asked.prompts == []


@pytest.mark.usefixtures("asked")
def test_fields_that_no_run_records_are_not_taken(tmp_path: Path) -> None:
    found = recorded()
    record(found | {"asked": found["asked"] | {"llm_log": str(tmp_path / "log.db"), "key": "k", "log": False, "model": "sub"}})
    engine = RLM.of_run("last")
    assert (engine.llm_log, engine.key, engine.log, engine.model) == (None, None, True, "root")
    assert resume().stdout == "end\n"
    assert written(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"limits": {"calls": -1}}, "the limit of calls must be a whole number of at least 0"),
        ({"limits": {"turns": 10**400}}, "the limit of turns must be a whole number"),
        ({"limits": {"cost": "much"}}, "the limit of cost must be a number"),
        ({"concurrency": 0}, "concurrency must be a whole number of at least 1"),
        ({"cell_limit": 1e300}, "cell_limit must be a number from 0 to 2,000,000"),
        ({"asked": {"prices": {"root": {"input": -1, "output": 1}}}}, 'prices."root"'),
        ({"asked": {"windows": {"root": 0.5}}}, 'windows."root" must be a whole number above 0'),
        ({"asked": {"default_cost": -1}}, "default_cost must be a number of at least 0"),
        ({"asked": {"cite": 1}}, "another shape"),
        ({"asked": {"protocol": ["code"]}}, "another shape"),
    ],
)
def test_settings_are_checked_as_what_a_user_gives_is(asked: Asked, change: dict[str, Any], said: str) -> None:
    record(recorded() | change)
    done = resume()
    assert done.exit_code == 1
    assert "the journal is damaged, or was not written by llm-rlm" in done.stderr
    assert said in done.stderr
    with pytest.raises(RLMError, match="the journal is damaged"):
        RLM.of_run("last")
    assert asked.prompts == []


@pytest.mark.parametrize(
    "given", [{"concurrency": 0}, {"children": True}, {"output_limit": 1.5}, {"cell_limit": -1}, {"cache_days": "x"}]
)
def test_settings_that_no_run_could_have_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(given))} must be"):
        Settings(**given)


@pytest.mark.parametrize("kind", ["path", "url"])
def test_a_file_that_is_put_into_what_was_said_is_not_read(asked: Asked, kind: str) -> None:
    part = {"type": "attachment", "attachment": {"type": "image/png", kind: "/etc/hostname"}}
    said = json.dumps([{"role": "user", "parts": [part]}])
    alter(("update texts set text = ? where hash in (select messages_hash from turns)", (said,)))
    assert "another shape" in resume().stderr
    assert asked.prompts == []


@pytest.mark.parametrize("name", ["-", "pipe", "/dev/stdin"])
def test_what_can_be_read_only_once_is_not_waited_for(asked: Asked, name: str) -> None:
    os.mkfifo("pipe")
    sources(name)
    done = resume(given=None)
    if name != "/dev/stdin" or "which is not stored" in done.stderr:
        assert f"read {name}, which is not stored: give the same input again with -c" in done.stderr
    assert done.exit_code == 2
    assert asked.prompts == []


@pytest.mark.parametrize("name", ["/dev/zero", "other.txt", "gone.txt", "\0", "/proc/self/mem"])
def test_what_is_not_as_it_was_is_sent_nowhere(asked: Asked, tmp_path: Path, name: str) -> None:
    (tmp_path / "a" / "b" / "other.txt").write_text("a secret in h")
    sources(name)
    done = resume(given=None)
    assert done.exit_code == 2, done.stderr
    assert asked.prompts == []


def test_a_page_that_is_not_as_it_was_is_sent_nowhere(asked: Asked) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(b"a secret of it!")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        sources(f"http://127.0.0.1:{server.server_port}/")
        done = resume(given=None)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert "is not as it was when run" in done.stderr
    assert asked.prompts == []


@pytest.mark.usefixtures("asked")
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_cache_and_a_session_that_goes_on_end_well_with_any_values(tmp_path: Path, data: st.DataObject) -> None:
    put(unfinished_journal())
    table, column = data.draw(st.sampled_from(places()))
    alter((f"update or ignore {table} set {column} = ?", (data.draw(WEIRD),)))  # noqa: S608 - names of the file
    (tmp_path / "user" / "in.txt").write_text(TEXT)
    list(end_well(("cache", "clear"), ("cache", "--json")))
    list(end_well(("chat", "--follow", "last", "-c", str(tmp_path / "user" / "in.txt")), stdin="Third?\n"))
    assert written(tmp_path) == []
