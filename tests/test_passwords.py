"""The user and password of a URL are sent to its server and stand in nothing that is kept."""

from __future__ import annotations

import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
import sqlite_utils
from click.testing import CliRunner
from llm.cli import cli

from llm_rlm import RLM, Limits, Sources, UsageError
from llm_rlm.export.script import script
from llm_rlm.journal import Journal
from llm_rlm.places import journal_path
from llm_rlm.runs.resume import Following
from llm_rlm.runs.session import Session
from llm_rlm.testing import say
from scripts import run, scripted, submit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Serve

SECRETS = (b"canary", b"hunter")


class Guarded(BaseHTTPRequestHandler):
    """Gives a text to who has the password."""

    def do_GET(self) -> None:
        known = self.headers.get("authorization") == "Basic Y2FuYXJ5Omh1bnRlcg=="  # canary:hunter
        body = b"hello\n" if known else b"no"
        self.send_response(200 if known else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that wants a password."""
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _is_nowhere(folder: Path) -> None:
    kept = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "rlm.db" in kept
    assert {name for name, data in kept.items() for secret in SECRETS if secret in data} == set()


def test_a_password_is_in_no_record_and_in_nothing_that_is_made_of_it(
    serve: Serve, host: str, user_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    models = serve(run("len(context)"), submit("done"))
    asked = CliRunner().invoke(cli, ["rlm", "?", "-c", f"http://canary:hunter@{host}/x.txt", "-m", "chat", "-v"])
    assert (asked.exit_code, models.tool_results[0].splitlines()[0]) == (0, "6")
    shown = [asked.output]
    for command in (["show", "last", "--json"], ["runs", "--json"], ["export", "last"], ["report", "last", "-o", "-"]):
        made = CliRunner().invoke(cli, ["rlm", *command])
        assert (command, made.exit_code) == (command, 0)
        shown.append(made.output)
    assert not [secret for secret in SECRETS if secret.decode() in "".join(shown)]
    assert f"http://{host}/x.txt" in shown[1]
    _is_nowhere(user_path)


def test_a_password_in_an_argument_of_the_toolbox_is_in_no_log(serve: Serve, host: str, user_path: Path) -> None:
    models = serve(run("len(context)"), say("done"))
    spec = f'RLMToolbox(sources=["http://canary:hunter@{host}/x.txt"])'
    assert CliRunner().invoke(cli, ["-T", spec, "?", "-m", "chat"]).exit_code == 0
    assert models.tool_results == ["6"]
    (row,) = sqlite_utils.Database(user_path / "logs.db")["tool_instances"].rows
    assert row["arguments"] == f'{{"sources": ["http://{host}/x.txt"]}}'
    _is_nowhere(user_path)
    again = CliRunner().invoke(cli, ["-c", "?", "-m", "chat"])
    assert "the server said 401 Unauthorized: give a user and password in the URL" in again.stderr


def test_a_run_whose_url_had_a_password_goes_on_when_it_is_given_again(host: str, user_path: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("beside it")
    sources = Sources((f"http://canary:hunter@{host}/x.txt", tmp_path / "a.txt"))
    model = scripted(run("x = 1"), "a guess", submit("done"), submit("also done"))
    first = RLM(model, limits=Limits(turns=2)).ask("?", sources)
    says = rf"run {first.run_id} read http://{host}/x\.txt with a user and password, which are not kept: give the same input"
    with pytest.raises(UsageError, match=says):
        RLM(model).resume(first.run_id)
    with pytest.raises(UsageError, match=says):
        Session(RLM(model), following=Following(first.run_id))
    assert RLM(model).resume(first.run_id, sources).answer == "done"
    with pytest.raises(UsageError, match=says):
        Session(RLM(model), following=Following(first.run_id))
    _is_nowhere(user_path)


def test_a_script_asks_for_the_input_whose_url_had_a_password(host: str) -> None:
    result = RLM(scripted(submit("done"))).ask("?", Sources((f"http://canary:hunter@{host}/x.txt",)))
    with closing(Journal(journal_path())) as journal:
        made = script(journal, result.run_id)
    assert "A URL of its input had a user and password, which are not kept" in made
    assert 'parser.add_argument("source", nargs="+"' in made
    assert "context = Sources(tuple(given.source))\n" in made
    assert not [secret for secret in SECRETS if secret.decode() in made]


def test_the_name_of_a_stream_or_a_fragment_that_is_a_url_has_no_password(user_path: Path) -> None:
    stream = BytesIO(b"text")
    stream.name = "http://canary:hunter@host/x.txt"
    result = RLM(scripted(submit("done"))).ask("?", stream)
    assert [source["name"] for source in result.sources] == ["http://host/x.txt"]
    _is_nowhere(user_path)
