"""Runs of many turns stay within their root model's window, and end as short ones do."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from llm_rlm import RLM, Limits, RunFailedError, Settings
from llm_rlm.events import Event, Warned
from llm_rlm.journal import Journal
from llm_rlm.places import journal_path
from llm_rlm.runs.resume import Following
from llm_rlm.runs.session import Session
from llm_rlm.testing import Reply, Request, ScriptedServer, say
from scripts import run, submit, submit_variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WINDOW = 8_000
both_apis = pytest.mark.parametrize("api", ["chat", "responses"])
both_protocols = pytest.mark.parametrize("protocol", ["tools", "code"])
TOO_LONG = "This model's maximum context length is 8000 tokens. However, your messages resulted in more."


def tokens(request: Request) -> int:
    """The tokens of a request, as such a server counts them."""
    return len(json.dumps(request.body.get("input", request.body.get("messages"))) + str(request.body.get("tools"))) // 4


@dataclass
class Strict:
    """A server that refuses what is longer than its window, and whose root model counts its turns by what it is told."""

    script: Callable[[int], Reply]
    window: int = WINDOW
    failing_at: int = -1
    answered: int = 0
    requests: list[Request] = field(default_factory=list)
    refused: int = 0

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        if tokens(request) > self.window:
            self.refused += 1
            return Reply(status=400, text=TOO_LONG)
        if self.answered == self.failing_at:
            self.failing_at = -1
            return Reply(status=401, text="no key")
        self.answered += 1
        return replace(self.script(self.answered), input_tokens=tokens(request))

    @contextmanager
    def at(self, user_path: Path, **extra: Any) -> Iterator[None]:
        with ScriptedServer(self) as server:
            server.write_models_yaml(user_path, "chat", **extra)
            server.write_models_yaml(user_path, "responses", responses=True, **extra)
            yield


def written(code: str, protocol: str) -> Reply:
    return run(code) if protocol == "tools" else say(f"Now this:\n```python\n{code}\n```")


def long_run(protocol: str, turns: int) -> Callable[[int], Reply]:
    """Cells that print what they have so far, some of them much; the last submits a variable that all have made."""

    def script(turn: int) -> Reply:
        if turn >= turns:
            return written("submit(seen)", protocol)
        code = f"seen = seen + [{turn}]" if turn > 1 else "seen = [1]"
        return written(f"{code}\nprint('line of turn {turn} ' * {400 if turn % 7 == 0 else 20})", protocol)

    return script


def engine(api: str, turns: int, protocol: Any = "tools", **more: Any) -> RLM:
    return RLM(api, limits=Limits(turns=turns), windows={api: WINDOW}, protocol=protocol, stream=False, **more)


def compacted_turns() -> list[int]:
    journal = Journal(journal_path())
    rows = journal.rows("select number from turns where compacted not null and not dropped order by run_id, number")
    journal.close()
    return [row["number"] for row in rows]


@both_apis
@both_protocols
def test_a_run_of_200_turns_stays_within_a_small_window_and_ends_well_also_when_it_is_resumed_in_the_middle(
    user_path: Path, api: str, protocol: str
) -> None:
    server = Strict(long_run(protocol, 200), failing_at=120)
    with server.at(user_path):
        with pytest.raises(RunFailedError, match="no key"):
            engine(api, 210, protocol).ask("Which turns were there?", context="x")
        result = RLM.of_run("last").resume("last", "x")
    assert (result.answer, result.finish, server.refused) == (list(range(1, 200)), "submitted", 0)
    assert 2 <= len(compacted_turns()) <= 20
    last = server.requests[-1].messages
    assert [last[0]["role"], last[1]["role"]] == ["system", "user"]
    assert last[1]["content"].startswith("Which turns were there?\n\n[Earlier turns are not shown any more")
    assert "line of turn 199" in last[-1]["content"]
    # The request that failed, and what was sent once the run was resumed: alike, but for the line that says where the run is.
    failed, again = server.requests[120].messages, server.requests[121].messages
    assert [m["content"] for m in failed[:-1]] == [m["content"] for m in again[:-1]]


@both_apis
def test_what_was_called_is_answered_after_the_history_is_shortened(user_path: Path, api: str) -> None:
    server = Strict(long_run("tools", 60))
    with server.at(user_path):
        engine(api, 61).ask("?", context="x")
    for request in server.requests:
        assert unpaired(request) == set()


def unpaired(request: Request) -> set[str]:
    """The ids of calls without a result, and of results without a call."""
    if request.api == "chat":
        messages = request.body["messages"]
        called = {call["id"] for message in messages for call in message.get("tool_calls") or ()}
        return called ^ {message["tool_call_id"] for message in messages if message["role"] == "tool"}
    items = [item for item in request.body["input"] if item.get("type")]
    called = {item["call_id"] for item in items if item["type"] == "function_call"}
    return called ^ {item["call_id"] for item in items if item["type"] == "function_call_output"}


def test_a_long_history_is_compacted_near_the_window_and_variables_keep_their_values(user_path: Path) -> None:
    server = Strict(long_run("tools", 60))
    seen: list[str] = []

    def watch(event: Event) -> None:
        if isinstance(event, Warned):
            seen.append(event.text)

    with server.at(user_path):
        result = engine("chat", 61).ask("?", context="x", observer=watch)
    assert result.answer == list(range(1, 60))
    turns = compacted_turns()
    assert seen == [f"history shortened before turn {turn}: it came near the end of the root model's window" for turn in turns]
    sizes = [tokens(request) for request in server.requests]
    for turn in turns:
        assert sizes[turn - 2] > 0.6 * WINDOW
        assert sizes[turn - 1] < 0.7 * WINDOW
    # In between it only grows.
    assert all(after > before for turn, (before, after) in enumerate(pairwise(sizes), 2) if turn not in turns)


def test_a_window_that_nobody_knows_is_found_by_the_error_of_the_provider(user_path: Path) -> None:
    server = Strict(long_run("tools", 60))
    with server.at(user_path):
        result = replace(engine("chat", 61), windows={}).ask("?", context="x")
    assert (result.answer, server.refused) == (list(range(1, 60)), 1)
    assert result.usage.turns == 60
    assert len(compacted_turns()) > 1


def test_a_question_that_is_too_long_by_itself_fails_and_says_why(user_path: Path) -> None:
    server = Strict(long_run("tools", 3))
    with server.at(user_path), pytest.raises(RunFailedError, match="maximum context length is 8000 tokens"):
        replace(engine("chat", 9), windows={}).ask("why " * 20_000, context="x")
    assert server.refused == 1


def test_less_is_shown_of_a_cell_the_fuller_the_window_is(user_path: Path) -> None:
    def script(turn: int) -> Reply:
        return run("print('abcdefghi\\n' * 5_000)") if turn < 12 else submit("done")

    server = Strict(script, window=16_000)
    with server.at(user_path):
        RLM("chat", windows={"chat": 16_000}, stream=False).ask("?", context="x")
    shown = [
        len(re.split(r"\n\[\d+\.\d s; ", request.tool_results[0])[0]) for request in server.requests if request.tool_results
    ]
    assert {round(size, -2) for size in shown[:3]} == {8_200}
    assert min(shown) < 2_300
    assert all("of 50,001 characters not shown" in request.tool_results[0] for request in server.requests[1:])
    journal = Journal(journal_path())
    kept = journal.rows("select length(text) as length from cells join texts on hash = shown_hash order by number")
    journal.close()
    # What the record says was shown, which coverage goes by, is what was.
    assert [row["length"] for row in kept] == shown


def test_a_follow_up_question_goes_on_with_the_shortened_history(user_path: Path) -> None:
    inner = long_run("tools", 40)

    def script(turn: int) -> Reply:
        if turn <= 40:
            return inner(turn)
        return [run("print(len(seen))"), submit("forty"), run("n = sum(seen)"), submit_variable("n")][turn - 41]

    server = Strict(script)
    with server.at(user_path):
        with Session(engine("chat", 50), "x") as session:
            session.ask("Which turns were there?")
            session.ask("How many are that?")
        with Session(engine("chat", 50), following=Following("last", "x")) as session:
            assert session.ask("And their sum?").answer == sum(range(1, 40))
    warm, cold = server.requests[41].messages, server.requests[-2].messages
    assert [message["content"] for message in warm] == [message["content"] for message in cold[: len(warm)]]
    assert server.refused == 0


def test_the_question_of_a_follow_up_stays_when_it_is_the_one_that_grows_long(user_path: Path) -> None:
    inner = long_run("tools", 40)
    server = Strict(lambda turn: submit("first") if turn == 1 else inner(turn - 1))
    with server.at(user_path), Session(engine("chat", 60), "x") as session:
        session.ask("The first question?")
        session.ask("The second question?")
    users = [message["content"] for message in server.requests[-1].messages if message["role"] == "user"]
    assert users[0].startswith("The second question?")
    assert "- You were told: The first question?" in users[0]
    assert len(users) == 1


def test_a_limit_of_tokens_is_kept_by_a_long_run(user_path: Path) -> None:
    server = Strict(long_run("tools", 200))
    with server.at(user_path):
        rlm = replace(engine("chat", 200), limits=Limits(turns=200, tokens=150_000))
        result = rlm.ask("?", context="x")
    assert result.limit is not None
    assert result.limit["kind"] == "tokens"
    assert result.usage.input + result.usage.output <= 150_000


def test_nothing_is_shortened_where_the_window_is_not_known(user_path: Path) -> None:
    server = Strict(long_run("tools", 30), window=10**9)
    with server.at(user_path):
        RLM("chat", limits=Limits(turns=40), settings=Settings(), stream=False).ask("?", context="x")
    assert compacted_turns() == []
    assert len(server.requests[-1].messages) == 2 + 2 * 29
