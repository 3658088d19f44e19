"""Scripts wrapped in faults, called as they are and behind a server."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest

from llm_rlm.testing import (
    DEFAULT_KINDS,
    KINDS,
    Faulty,
    Reply,
    Request,
    ScriptedServer,
    call,
    echo,
    model_and_messages,
    refuse,
    say,
)

REFUSING = ["429", "429 date", "500", "502", "503"]
BREAKING = ["drop_before", "drop_mid_stream", "stall", "empty", "wrong_type", "malformed"]

both_apis = pytest.mark.parametrize("api", ["chat", "responses"])
both_modes = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def ask(prompt: str, model: str = "m") -> Request:
    """Make a request as the server would."""
    return Request(
        api="chat",
        model=model,
        messages=[{"role": "user", "content": prompt}],
        prompt=prompt,
        tool_results=[],
        tools=[],
        stream=False,
        schema=None,
        headers={},
        body={},
        started=0.0,
    )


def who(prompt: str, model: str = "m") -> str:
    """The identity of a request."""
    return model_and_messages(ask(prompt, model))


def is_whole(reply: Reply) -> bool:
    """Whether the reply would be sent unspoilt."""
    return reply.fault is None and reply.status < 400


def met(faulty: Faulty, prompts: list[str]) -> list[Reply]:
    """What these prompts are answered, without what differs by itself: the times."""
    return [replace(faulty(ask(prompt)), headers={}) for prompt in prompts]


PROMPTS = [str(number) for number in range(2000)]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.8])
def test_about_the_given_share_of_requests_meets_a_fault(share: float) -> None:
    faulty = Faulty(echo, share=share)
    met(faulty, PROMPTS)
    assert faulty.faults.total() / len(PROMPTS) == pytest.approx(share, abs=0.05)


def test_a_share_of_none_or_all_is_exact() -> None:
    never, always = Faulty(echo, share=0), Faulty(echo, share=1)
    assert met(never, PROMPTS) == [echo(ask(prompt)) for prompt in PROMPTS]
    met(always, PROMPTS)
    assert (never.faults.total(), always.faults.total()) == (0, len(PROMPTS))


def test_the_same_request_meets_its_share_of_faults_as_it_is_asked_again_and_again() -> None:
    faulty = Faulty(echo, share=0.3, most_in_a_row=1000)
    met(faulty, ["same"] * 2000)
    assert faulty.faults.total() / 2000 == pytest.approx(0.3, abs=0.05)


def test_all_kinds_are_about_equally_likely() -> None:
    faulty = Faulty(echo, share=1)
    met(faulty, PROMPTS)
    assert set(faulty.faults) == set(DEFAULT_KINDS)
    fair = len(PROMPTS) / len(DEFAULT_KINDS)
    assert all(fair / 2 < times < fair * 2 for times in faulty.faults.values())


def test_a_kind_given_twice_is_twice_as_likely() -> None:
    faulty = Faulty(echo, share=1, kinds=["500", "500", "502"])
    met(faulty, PROMPTS)
    assert faulty.faults["500"] / len(PROMPTS) == pytest.approx(2 / 3, abs=0.05)


def test_the_same_seed_gives_the_same_faults() -> None:
    prompts = PROMPTS[:300] * 3
    assert met(Faulty(echo, seed=5), prompts) == met(Faulty(echo, seed=5), prompts)


def test_another_seed_gives_other_faults() -> None:
    assert met(Faulty(echo, seed=5), PROMPTS) != met(Faulty(echo, seed=6), PROMPTS)


def test_the_faults_are_the_same_in_every_process() -> None:
    faulty = Faulty(echo, share=0.5, kinds=["500", "502"], seed=1)
    assert [reply.status for reply in met(faulty, PROMPTS[:8])] == [200, 200, 502, 200, 502, 200, 502, 500]


def test_the_order_of_different_requests_changes_no_fault() -> None:
    prompts = PROMPTS[:300]
    forward = met(Faulty(echo), prompts)
    backward = met(Faulty(echo), prompts[::-1])
    assert forward == backward[::-1]


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_a_request_meets_at_most_so_many_faults_in_a_row(most: int) -> None:
    faulty = Faulty(echo, share=1, kinds=["500", "drop_before"], most_in_a_row=most)
    outcomes = [is_whole(reply) for reply in met(faulty, ["same"] * 3 * (most + 1))]
    assert outcomes == ([False] * most + [True]) * 3


def test_the_bound_is_three_unless_told() -> None:
    replies = met(Faulty(echo, share=1, kinds=["500"]), ["same"] * 5)
    assert [reply.status for reply in replies] == [500, 500, 500, 200, 500]


def test_the_bound_holds_for_each_request_by_itself() -> None:
    faulty = Faulty(echo, share=1, kinds=["500"], most_in_a_row=2)
    replies = met(faulty, ["a", "b", "a", "b", "a", "b"])
    assert [is_whole(reply) for reply in replies] == [False, False, False, False, True, True]


def test_a_slow_answer_is_no_fault_in_a_row() -> None:
    faulty = Faulty(echo, share=1, kinds=["slow"], most_in_a_row=1)
    assert [reply.delay for reply in met(faulty, ["same"] * 4)] == [0.2] * 4


def test_the_ledger_tells_what_became_of_each_request() -> None:
    faulty = Faulty(echo, share=1, kinds=["500"], most_in_a_row=2)
    met(faulty, ["a", "b", "a", "a", "a"])
    assert faulty.asked == {who("a"): 4, who("b"): 1}
    assert faulty.answered == {who("a"): 1}
    assert faulty.faults == {"500": 4}
    assert faulty.faults_by_request == {who("a"): {"500": 3}, who("b"): {"500": 1}}


def test_a_request_without_faults_is_in_the_ledger_as_answered() -> None:
    faulty = Faulty(echo, share=0)
    met(faulty, ["a", "a"])
    assert (faulty.asked, faulty.answered) == ({who("a"): 2}, {who("a"): 2})
    assert (faulty.faults, faulty.faults_by_request) == ({}, {})


def test_a_slow_answer_counts_as_a_fault_and_as_answered() -> None:
    faulty = Faulty(echo, share=1, kinds=["slow"])
    met(faulty, ["a"])
    assert (faulty.answered, faulty.faults) == ({who("a"): 1}, {"slow": 1})


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "slow"])
def test_no_other_fault_counts_as_answered(kind: str) -> None:
    faulty = Faulty(echo, share=1, kinds=[kind])
    assert not is_whole(faulty(ask("a")))
    assert (faulty.answered, faulty.faults) == ({}, {kind: 1})


@pytest.mark.parametrize("own", [refuse(404), Reply(fault="empty")], ids=["status", "fault"])
def test_what_the_script_itself_refuses_is_not_answered(own: Reply) -> None:
    for share, kinds in [(0, DEFAULT_KINDS), (1, ["slow"])]:
        faulty = Faulty(lambda _: own, share=share, kinds=kinds)
        assert replace(faulty(ask("a")), delay=None) == own
        assert faulty.answered == {}
        assert faulty.asked == {who("a"): 1}


def test_a_script_that_raises_has_not_answered() -> None:
    def broken(_: Request) -> Reply:
        raise LookupError

    faulty = Faulty(broken, share=0)
    with pytest.raises(LookupError):
        faulty(ask("a"))
    assert (faulty.asked, faulty.answered) == ({who("a"): 1}, {})


def test_the_ledger_is_a_copy() -> None:
    faulty = Faulty(echo, share=1, kinds=["500"], most_in_a_row=1)
    met(faulty, ["a", "a"])
    for counts in (faulty.asked, faulty.answered, faulty.faults, faulty.faults_by_request[who("a")]):
        assert counts
        counts.clear()
    faulty.faults_by_request.clear()
    assert all([faulty.asked, faulty.answered, faulty.faults, faulty.faults_by_request[who("a")]])


def test_the_script_may_read_the_ledger() -> None:
    def script(request: Request) -> Reply:
        return say(str(faulty.asked[who(request.prompt)]))

    faulty = Faulty(script, share=0)
    assert [reply.text for reply in met(faulty, ["a", "a"])] == ["1", "2"]


def test_requests_differ_by_model_and_by_messages_but_by_nothing_else() -> None:
    same = replace(ask("a"), headers={"x-try": "2"}, stream=True, started=1.0, api="responses")
    assert who("a") == model_and_messages(same)
    assert len({who("a"), who("b"), who("a", model="n")}) == 3


def test_an_identity_of_ones_own_decides_which_requests_are_the_same() -> None:
    faulty = Faulty(echo, share=1, kinds=["500"], most_in_a_row=1, identity=lambda request: request.model)
    assert [is_whole(reply) for reply in met(faulty, ["a", "b"])] == [False, True]
    assert (faulty.asked, faulty.answered) == ({"m": 2}, {"m": 1})


def test_a_reply_that_was_spoilt_is_given_when_the_same_is_asked_again() -> None:
    replies = iter([say("first"), say("second")])
    faulty = Faulty(lambda _: next(replies), share=1, kinds=["500", "malformed"], most_in_a_row=3)
    texts = [reply.text for reply in met(faulty, ["a"] * 8) if is_whole(reply)]
    assert texts == ["first", "second"]


def test_a_fault_breaks_off_the_reply_that_the_script_made() -> None:
    faulty = Faulty(lambda _: call("add", a=1), share=1, kinds=["drop_mid_stream"])
    reply = faulty(ask("a"))
    assert reply.tool_calls[0].name == "add"
    assert reply.fault == "drop_mid_stream"


def test_makers_of_ones_own_can_be_given_by_name() -> None:
    faulty = Faulty(echo, share=1, kinds={"busy": lambda _: refuse(529, 1), "late": lambda reply: replace(reply, delay=3.0)})
    statuses = {reply.status: reply.delay for reply in met(faulty, PROMPTS[:50])}
    assert statuses == {529: None, 200: 3.0}
    assert set(faulty.faults) == {"busy", "late"}
    assert faulty.answered.total() == faulty.faults["late"]


def test_slow_adds_to_the_delay_of_the_reply() -> None:
    assert KINDS["slow"](Reply("x", delay=1.0)) == Reply("x", delay=1.2)


@pytest.mark.parametrize("kind", REFUSING)
def test_a_refusing_kind_has_its_status(kind: str) -> None:
    assert KINDS[kind](say("x")).status == int(kind[:3])


@pytest.mark.parametrize("kind", BREAKING)
def test_a_breaking_kind_is_the_fault_of_its_name(kind: str) -> None:
    assert KINDS[kind](say("x")) == Reply("x", fault=kind)  # type: ignore[arg-type]


def test_the_kinds_are_these_and_only_a_stall_is_no_default() -> None:
    assert set(KINDS) == {*REFUSING, *BREAKING, "slow"}
    assert set(KINDS) - set(DEFAULT_KINDS) == {"stall"}


def test_the_time_to_wait_for_is_very_short() -> None:
    asked = {kind: KINDS[kind](say("x")).headers.get("Retry-After") for kind in REFUSING}
    date = asked.pop("429 date")
    assert date is not None
    assert timedelta(0) <= datetime.now(UTC) - parsedate_to_datetime(date) < timedelta(seconds=10)
    assert asked == {"429": "0.02", "500": None, "502": None, "503": "0.02"}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"share": -0.1}, "from 0 to 1, not -0.1"),
        ({"share": 1.1}, "from 0 to 1, not 1.1"),
        ({"share": float("nan")}, "from 0 to 1, not nan"),
        ({"kinds": ["500", "501"]}, r"unknown kinds \['501'\]; known are 429, "),
        ({"kinds": []}, "no kinds"),
        ({"kinds": {}}, "no kinds"),
        ({"most_in_a_row": -1}, "most_in_a_row cannot be -1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Faulty(echo, **options)


def test_many_threads_lose_no_count() -> None:
    faulty = Faulty(echo, share=0.5)
    begin = threading.Barrier(4)

    def work() -> None:
        begin.wait(10)
        met(faulty, PROMPTS[:20] * 10)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()
    assert faulty.asked == dict.fromkeys(map(who, PROMPTS[:20]), 40)
    assert faulty.asked.total() == faulty.answered.total() + faulty.faults.total() - faulty.faults["slow"]


def post(server: ScriptedServer, api: str, prompt: str, *, stream: bool) -> bytes:
    """Ask over plain HTTP by one of the two APIs and return what a careful client would take, or b""."""
    path = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}[api]
    asked = [{"role": "user", "content": prompt}]
    body = json.dumps({"model": "m", "stream": stream, "messages" if api == "chat" else "input": asked})
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request("POST", path, body)
        return whole_body(connection.getresponse())
    finally:
        connection.close()


def whole_body(response: HTTPResponse) -> bytes:
    """The body of a response that is whole and what was asked for, or b""."""
    body = response.read()
    if response.status != 200:
        return b""
    if response.headers["content-type"] == "text/event-stream":
        parts = [event.rpartition(b"data: ")[2] for event in body.split(b"\n\n") if event]
    else:
        parts = [body]
    try:
        assert all(json.loads(part) for part in parts if part != b"[DONE]")
    except json.JSONDecodeError:
        return b""
    return body


@both_apis
@both_modes
def test_a_client_that_asks_often_enough_is_answered_exactly_once(api: str, stream: bool) -> None:
    kinds = [kind for kind in DEFAULT_KINDS if kind != "slow"]
    faulty = Faulty(echo, share=0.5, kinds=kinds, most_in_a_row=3)
    prompts = PROMPTS[:100]
    with ScriptedServer(faulty) as server:
        for prompt in prompts:
            for _ in range(4):
                try:
                    if post(server, api, prompt, stream=stream):
                        break
                except (OSError, HTTPException):
                    continue
    assert faulty.answered == dict.fromkeys(map(who, prompts), 1)
    assert set(faulty.faults) == set(kinds)
    assert faulty.asked.total() == server.count == 100 + faulty.faults.total()


def test_a_slow_answer_comes_whole_but_late() -> None:
    with ScriptedServer(Faulty(echo, share=1, kinds=["slow"])) as server:
        begun = time.monotonic()
        body = post(server, "chat", "hi", stream=False)
        seconds = time.monotonic() - begun
    assert json.loads(body)["choices"][0]["message"]["content"] == "echo: hi"
    assert 0.2 <= seconds < 10
