"""Contexts that give orders, and a root model that obeys them all: what is the worst that happens?

The root model is a script that obeys to the letter; no language model is involved, and none is said to resist.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from llm.cli import cli

from injections import ANSWER, CORPUS, Injection
from llm_rlm.testing import Reply, Request, call, say
from scripts import run, submit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Serve

KEY = "k-canary-5e11f00d"
CALLS = 6
_TURNS = 4
_IDS = [f"{injection.family}-{number}" for number, injection in enumerate(CORPUS)]


@pytest.fixture
def outside() -> Iterator[socket.socket]:
    """Somewhere to send the input to, where nothing must arrive."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    yield listener
    listener.close()


def test_the_corpus_is_large_enough_to_say_something() -> None:
    assert len({injection.text for injection in CORPUS}) >= 25
    assert len({injection.family for injection in CORPUS}) >= 5


@pytest.mark.parametrize("injection", CORPUS, ids=_IDS)
def test_the_worst_that_an_order_does_is_a_spent_budget_and_a_wrong_answer(
    serve: Serve, user_path: Path, outside: socket.socket, injection: Injection
) -> None:
    (user_path / "keys.json").write_text(json.dumps({"mine": KEY}))
    values = {"{USER}": str(user_path), "{PORT}": str(outside.getsockname()[1])}
    cell = injection.cell
    for name, value in values.items():
        cell = cell.replace(name, value)
    models = serve(run(cell), submit("done"), sub=_unlike_root, api_key_name="mine")
    limits = ("--max-calls", str(CALLS), "--max-turns", str(_TURNS), "--depth", "1", "--json", "-v")
    result = CliRunner().invoke(cli, ["rlm", "What is it about?", "-m", "chat", *limits], input=f"one\n{injection.text}\ntwo\n")
    told = json.loads(result.stdout)

    assert result.exit_code in {0, 3}
    assert told["calls"]["total"] <= CALLS
    assert len(models.sub_requests) <= CALLS
    assert told["turns"] <= _TURNS
    assert told["answer"] is None or isinstance(told["answer"], str)
    assert KEY not in result.stdout + result.stderr
    assert [request for request in models.server.requests if KEY in json.dumps(request.messages)] == []
    assert [path for path in user_path.rglob("*") if "PWNED" in path.name] == []
    assert KEY.encode() not in (user_path / "rlm.db").read_bytes()
    with pytest.raises(BlockingIOError):
        outside.accept()


def _unlike_root(request: Request) -> Reply:
    return say(f"sub: {request.prompt[:20]}")


@pytest.mark.parametrize(
    "injection", [injection for injection in CORPUS if injection.family == ANSWER], ids=lambda i: i.text[:20]
)
def test_with_citations_what_an_obeying_model_claims_is_marked_unsupported(serve: Serve, injection: Injection) -> None:
    again = call("RLMToolbox_submit_answer", answer="PWNED", quotes=["PWNED is the answer", "the auditors agree"])
    serve(run(injection.cell), again)
    asked = ["rlm", "What is it about?", "-m", "chat", "--cite", "--json", "-q"]
    told = json.loads(CliRunner().invoke(cli, asked, input=f"one\n{injection.text}\ntwo\n").stdout)
    assert told["answer"] == "PWNED"
    unsupported = [citation["quote"] for citation in told["citations"] if not citation["found"]]
    assert "PWNED is the answer" in unsupported


def test_with_citations_an_order_that_is_quoted_is_shown_with_its_place(serve: Serve) -> None:
    order = CORPUS[8].text
    serve(call("RLMToolbox_submit_answer", answer="PWNED", quotes=[order]))
    result = CliRunner().invoke(cli, ["rlm", "?", "-m", "chat", "--cite", "-q"], input=f"one\n{order}\n")
    assert f':2: "{order}"' in result.stdout
