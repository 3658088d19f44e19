"""What a failure means, and when there is another attempt."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.errors import BrokenReplyError, ModelError
from llm_rlm.providers.retries import Failure, Policy, failure_of, is_too_long, persist

REQUEST = httpx2.Request("POST", "http://provider/v1")
NOON = 1_767_268_800.0
"""12:00 on 1 January 2026, UTC."""


def answered(status: int, body: object = None, **headers: str) -> Exception:
    """The error that openai's client raises for such an answer."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx2.Response(status, headers=names, json=body, request=REQUEST)
    return openai.APIStatusError(f"HTTP {status}", response=response, body=body)


def caused(outer: Exception, *causes: BaseException) -> Exception:
    link: BaseException = outer
    for cause in causes:
        link.__cause__ = cause
        link = cause
    return outer


def lost(*causes: BaseException) -> Exception:
    return caused(openai.APIConnectionError(request=REQUEST), *causes)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 520, 529])
def test_these_statuses_are_worth_another_attempt(status: int) -> None:
    assert failure_of(answered(status)).retry


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 410, 413, 422])
def test_other_statuses_are_not_and_cost_nothing(status: int) -> None:
    assert failure_of(answered(status)) == Failure(retry=False, refused=False, maybe_paid=False)


@pytest.mark.parametrize("status", [429, 503, 529])
def test_a_provider_that_has_too_much_refuses_and_takes_nothing(status: int) -> None:
    assert failure_of(answered(status)) == Failure(retry=True, refused=True, maybe_paid=False)


@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_what_a_gateway_gives_up_may_be_paid(status: int) -> None:
    assert failure_of(answered(status)) == Failure(retry=True, refused=False, maybe_paid=True)


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
@pytest.mark.parametrize("shape", [lambda code: {"error": {"code": code}}, lambda code: {"code": code}])
def test_money_that_has_run_out_does_not_come_back_by_waiting(code: str, shape: Any) -> None:
    assert failure_of(answered(429, shape(code), retry_after="3")) == Failure(retry=False, refused=False, maybe_paid=False)


def test_a_provider_may_say_that_another_attempt_is_of_no_use() -> None:
    assert not failure_of(answered(429, x_should_retry="false")).retry


class Requests(Exception):  # noqa: N818 - as other libraries have them
    """An error of a library that is not here."""

    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)


class Answer:
    status_code = 429
    headers = {"RETRY-AFTER": "7"}  # noqa: RUF012 - as a plain dict


@pytest.mark.parametrize(
    "problem",
    [
        Requests(response=Answer()),
        Requests(status_code=429, headers={"Retry-After": "7"}),
        Requests(status=429, headers={"retry-after": "7"}),
        Requests(code=429, response=Answer()),
        caused(ModelError("m did not answer"), Requests(response=Answer())),
    ],
)
def test_a_status_is_found_wherever_a_library_keeps_it(problem: Exception) -> None:
    assert failure_of(problem) == Failure(retry=True, refused=True, maybe_paid=False, after=7.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "3"}, 3.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after_ms": "250", "retry_after": "3"}, 0.25),
        ({"retry_after": "999999999"}, 86_400.0),
        ({"retry_after": "Thu, 01 Jan 2026 12:00:30 GMT", "date": "Thu, 01 Jan 2026 12:00:10 GMT"}, 20.0),
        ({"retry_after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30.0),
        ({"retry_after": "Thu, 01 Jan 2026 12:00:30 GMT", "date": "nonsense"}, 30.0),
        ({"retry_after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0.0),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "1e999"}, None),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_time_to_wait_is_read_in_both_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert failure_of(answered(429, **headers), now=lambda: NOON).after == seconds


@given(st.text())
def test_no_header_can_break_the_reading(text: str) -> None:
    after = failure_of(Requests(status_code=503, headers={"Retry-After": text, "Date": text})).after
    assert after is None or 0 <= after <= 86_400


@pytest.mark.parametrize(
    "problem",
    [
        lost(httpx2.ConnectError("refused")),
        caused(openai.APITimeoutError(request=REQUEST), httpx2.ConnectTimeout("slow"), TimeoutError()),
        lost(httpx2.PoolTimeout("full")),
        ConnectionRefusedError(),
    ],
)
def test_without_a_connection_nothing_was_sent(problem: Exception) -> None:
    assert failure_of(problem) == Failure(retry=True, refused=False, maybe_paid=False)


@pytest.mark.parametrize(
    "problem",
    [
        lost(),
        lost(httpx2.RemoteProtocolError("closed")),
        lost(httpx2.ReadError("reset")),
        caused(openai.APITimeoutError(request=REQUEST), httpx2.ReadTimeout("slow")),
        httpx2.ReadTimeout("slow"),
        ConnectionResetError(),
        TimeoutError(),
        BrokenReplyError("no JSON"),
        caused(ModelError("m did not answer"), TimeoutError()),
        openai.APIError("The server had an error", REQUEST, body={"code": "server_error"}),
    ],
)
def test_a_request_that_was_under_way_may_be_paid(problem: Exception) -> None:
    assert failure_of(problem) == Failure(retry=True, refused=False, maybe_paid=True)


@pytest.mark.parametrize("cause", [httpx2.LocalProtocolError("a line end in a header"), httpx2.UnsupportedProtocol("no http")])
def test_a_request_that_cannot_be_sent_is_not_tried_again(cause: Exception) -> None:
    assert failure_of(lost(cause)) == Failure(retry=False, refused=False, maybe_paid=False)


def test_an_error_in_a_stream_is_told_by_its_code() -> None:
    def said(code: str) -> Failure:
        return failure_of(openai.APIError("so", REQUEST, body={"code": code}))

    assert said("rate_limit_exceeded").refused
    assert not said("context_length_exceeded").retry
    assert not said("insufficient_quota").retry


@pytest.mark.parametrize("problem", [ValueError("?"), json.JSONDecodeError("?", "", 0), KeyboardInterrupt()])
def test_what_is_not_known_is_not_tried_again_and_may_be_paid(problem: BaseException) -> None:
    assert failure_of(problem) == Failure(retry=False, refused=False, maybe_paid=True)


def test_an_error_that_is_its_own_cause_is_read_once() -> None:
    problem = ValueError("a")
    problem.__cause__ = caused(ValueError("b"), problem)
    assert not failure_of(problem).retry


def test_a_context_that_was_suppressed_does_not_count() -> None:
    problem = ValueError("a")
    problem.__context__ = TimeoutError()
    assert failure_of(problem).retry
    problem.__suppress_context__ = True
    assert not failure_of(problem).retry


class Time(threading.Event):
    """Time that passes only where something waits, and may be stopped at a moment."""

    def __init__(self, stops: float | None = None) -> None:
        super().__init__()
        self.now = 0.0
        self.waits: list[float] = []
        self.stops = stops

    def clock(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self.now += timeout
        if self.stops is not None and self.now >= self.stops:
            self.set()
        return self.is_set()


class Work:
    """Fails with these, then succeeds."""

    def __init__(self, *problems: BaseException, takes: float = 0.0) -> None:
        self.problems = list(problems)
        self.takes = takes
        self.begun: list[float] = []
        self.again: list[Failure] = []

    @property
    def done(self) -> int:
        return len(self.begun)

    def run(self, time: Time, policy: Policy | None = None) -> str:
        def work() -> str:
            self.begun.append(time.now)
            time.now += self.takes
            if self.problems:
                raise self.problems.pop(0)
            return "answer"

        return persist(work, policy or Policy(), self.again.append, time, time.clock)


def test_work_that_succeeds_is_done_once() -> None:
    work = Work()
    assert (work.run(Time()), work.done, work.again) == ("answer", 1, [])


def test_work_is_done_again_until_it_succeeds_and_each_time_it_is_said() -> None:
    work = Work(TimeoutError(), answered(429))
    assert (work.run(Time()), work.done) == ("answer", 3)
    assert work.again == [failure_of(TimeoutError()), failure_of(answered(429))]


@pytest.mark.parametrize("problems", [[ValueError("wrong")], [TimeoutError(), ValueError("wrong")]])
def test_what_cannot_succeed_is_raised_at_once(problems: list[Exception]) -> None:
    last = problems[-1]
    work = Work(*problems)
    with pytest.raises(ValueError, match="wrong") as raised:
        work.run(Time())
    assert raised.value is last
    assert work.problems == []


@given(st.integers(1, 10))
def test_there_are_no_more_attempts_than_allowed(attempts: int) -> None:
    work = Work(*[TimeoutError(str(number)) for number in range(20)])
    with pytest.raises(TimeoutError, match=f"^{attempts - 1}$"):
        work.run(Time(), Policy(attempts=attempts))
    assert (work.done, len(work.again)) == (attempts, attempts - 1)


@given(st.floats(0, 100), st.floats(0, 30))
def test_no_attempt_begins_after_the_time(seconds: float, takes: float) -> None:
    work = Work(*[TimeoutError()] * 100, takes=takes)
    with pytest.raises(TimeoutError):
        work.run(Time(), Policy(attempts=50, seconds=seconds))
    assert max(work.begun) <= seconds


def test_the_waits_are_random_below_a_bound_that_doubles() -> None:
    longest = [0.0] * 7
    for _ in range(200):
        time = Time()
        Work(*[TimeoutError()] * 7).run(time, Policy(base=1.0, longest=16.0))
        longest = [max(pair) for pair in zip(longest, time.waits, strict=True)]
    bounds = [1, 2, 4, 8, 16, 16, 16]
    assert all(bound * 0.8 < wait <= bound for wait, bound in zip(longest, bounds, strict=True))


def test_the_wait_is_at_least_what_the_provider_asks_for() -> None:
    time = Time()
    Work(answered(429, retry_after="70")).run(time)
    assert time.waits == [70.0]


def test_a_wait_that_is_longer_than_what_is_left_is_not_begun() -> None:
    time = Time()
    work = Work(answered(429, retry_after="901"))
    with pytest.raises(openai.APIStatusError):
        work.run(time)
    assert (time.waits, work.done) == ([], 1)


def test_a_stop_ends_the_wait_and_the_attempts() -> None:
    time = Time(stops=1.0)
    work = Work(*[answered(503, retry_after="2")] * 5)
    with pytest.raises(openai.APIStatusError):
        work.run(time)
    assert (work.done, work.again) == (1, [])


def test_there_is_no_wait_once_it_is_stopped() -> None:
    time = Time()
    time.set()
    with pytest.raises(TimeoutError):
        Work(TimeoutError()).run(time)
    assert time.waits == []


def test_a_real_stop_wakes_a_real_wait() -> None:
    stop = threading.Event()
    timer = threading.Timer(0.05, stop.set)
    timer.start()

    def work() -> str:
        raise answered(429, retry_after="60")

    with pytest.raises(openai.APIStatusError):
        persist(work, Policy(), lambda _: None, stop)
    timer.join()


def test_what_is_raised_before_another_attempt_ends_the_attempts() -> None:
    def again(_: Failure) -> None:
        raise ModelError

    def work() -> str:
        raise TimeoutError

    time = Time()
    with pytest.raises(ModelError):
        persist(work, Policy(), again, time, time.clock)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        "prompt is too long: 208310 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "the request exceeds the available context size, try increasing it",
        "the input length exceeds the context length",
        "Input is too long for requested model.",
        "Please reduce the length of the messages or completion.",
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        "the model is loaded with context length of only 4096 tokens, which is not enough",
    ],
)
def test_a_request_that_is_too_long_is_known_by_what_providers_say(message: str) -> None:
    response = httpx2.Response(400, json={"error": {"message": message}}, request=REQUEST)
    assert is_too_long(openai.BadRequestError(message, response=response, body=None))
    assert is_too_long(ValueError(message))


def test_a_request_that_is_too_long_is_known_by_its_code() -> None:
    assert is_too_long(answered(400, {"error": {"code": "context_length_exceeded"}}))
    assert is_too_long(caused(ModelError(), answered(400, {"code": "context_length_exceeded"})))


@pytest.mark.parametrize(
    "problem",
    [
        answered(400, {"error": {"code": "invalid_request_error", "message": "max_tokens is too large"}}),
        answered(
            429, {"error": {"code": "rate_limit_exceeded", "message": "Request too large: reduce the length of the input"}}
        ),
        answered(401),
        TimeoutError("too long"),
    ],
)
def test_other_errors_are_not_taken_for_it(problem: Exception) -> None:
    assert not is_too_long(problem)


def test_one_broken_reply_after_other_failures_is_tried_again() -> None:
    failures = [ConnectionError("gone")] * 3 + [BrokenReplyError("half")]
    left = list(failures)

    def work() -> int:
        if left:
            raise left.pop(0)
        return 1

    assert persist(work, Policy(base=0), lambda _: None, threading.Event()) == 1


def test_replies_that_stay_broken_are_given_up_before_other_failures_are() -> None:
    attempts: list[int] = []

    def work() -> int:
        attempts.append(1)
        message = "half"
        raise BrokenReplyError(message)

    with pytest.raises(BrokenReplyError):
        persist(work, Policy(base=0), lambda _: None, threading.Event())
    assert len(attempts) == Policy().broken < Policy().attempts
