"""What the failure of a request to a model means, and trying again."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from llm_rlm.errors import BrokenReplyError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping

    import tenacity

_LONGEST_AFTER = 86_400.0
"""Seconds: no Retry-After is taken to be longer."""

_DEEPEST = 20
"""Causes of causes that are looked at."""

_REFUSED = frozenset({429, 503, 529})
_SLOW_OR_BUSY = frozenset({408, 409, 425, 429})
_CLIENT_ERROR, _SERVER_ERROR, _PAYMENT = 400, 500, 402
_STATUSES = range(100, 600)

_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
"""Codes of a refusal that waiting does not mend."""
_TOO_MUCH = frozenset({"rate_limit_exceeded", "rate_limit_error", "overloaded_error", "server_overloaded", "429", "503", "529"})
"""Codes of a refusal in a reply that began as a success."""
_WRONG = frozenset({"invalid_request_error", "context_length_exceeded", "authentication_error", "permission_error"})
"""Codes of a request that is refused each time."""

_LIBRARIES = frozenset(
    {
        *("builtins", "socket", "ssl", "asyncio", "http", "urllib", "urllib3", "requests", "aiohttp"),
        *("httpx", "httpx2", "httpcore", "httpcore2", "h11", "openai", "anthropic", "groq", "google", "botocore"),
    }
)
"""Where the classes below are from; another library may mean something else by the same name."""

_HOPELESS = frozenset({"SSLCertVerificationError", "LocalProtocolError", "UnsupportedProtocol", "InvalidURL"})
"""Nothing was sent, and nothing will be."""

_UNSENT = frozenset(
    {
        *("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "ConnectionRefusedError", "gaierror"),
        *("NewConnectionError", "ConnectTimeoutError", "ClientConnectorError", "ConnectionTimeoutError"),
        *("EndpointConnectionError",),
    }
)
"""There was no connection to send anything on."""

_LOST = frozenset(
    {
        *("ConnectionError", "TimeoutError", "Timeout", "TimeoutException", "NetworkError", "RemoteProtocolError", "SSLError"),
        *("APIConnectionError", "DecodingError", "HTTPException", "ProtocolError", "ChunkedEncodingError", "IncompleteRead"),
        *("ReadTimeoutError", "ClientConnectionError", "ClientPayloadError", "IncompleteReadError", "ContentDecodingError"),
        *("ConnectionClosedError",),
    }
)
"""The connection or the time ran out while the request was under way."""


@dataclass(frozen=True)
class Failure:
    """What the failure of a request means."""

    retry: bool
    """Whether another attempt may succeed."""
    refused: bool
    """Whether the provider says that this is too much."""
    maybe_paid: bool
    """Whether the request may have been received and worked on: what came of it is unknown.

    So where the connection or the time ran out once it had been made, where the reply is broken or turns into an error, at 408
    and at 5xx but 503 and 529, since gateways answer so when what stands behind them has already begun; and at any error that
    nothing is known of. Not at any other status: such a request is turned away before it is worked on.
    """
    after: float | None = None
    """Seconds to wait at least, as the provider said, up to a day."""


def failure_of(problem: BaseException, now: Callable[[], float] = time.time) -> Failure:
    """What an error of a model or its provider means, by its status, its body and its classes, or those of its causes.

    No library of a provider is imported for it. `now` is the clock for a date in Retry-After without a `Date` beside it.
    """
    chain = list(_chain(problem))
    for each in chain:
        status = _status(each)
        if status is not None and status >= _CLIENT_ERROR:
            return _of_status(status, each, now)
    names = {name for each in chain for name in _names(each)}
    if names & _HOPELESS or not isinstance(problem, Exception):
        return Failure(retry=False, refused=False, maybe_paid=not names & _HOPELESS)
    if names & _UNSENT:
        return Failure(retry=True, refused=False, maybe_paid=False)
    codes = {code for each in chain for code in _codes(each)}
    if codes & _TOO_MUCH:
        return Failure(retry=True, refused=True, maybe_paid=True)
    if codes & (_SPENT | _WRONG):
        return Failure(retry=False, refused=False, maybe_paid=False)
    broken = any(isinstance(each, BrokenReplyError) for each in chain)
    return Failure(retry=broken or bool(names & _LOST) or bool(codes), refused=False, maybe_paid=True)


_TOO_LONG = frozenset({"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"})
"""Codes of a request that does not fit in the model's window."""
_SAYS_TOO_LONG = re.compile(
    r"(?:maximum|max|available|exceeds? the|than the model'?s?) (?:model )?(?:context|prompt) (?:length|size|window|limit)"
    r"|(?:prompt|input) is too long|input (?:token count|length)\b.{0,80}\bexceed|context length of only"
    r"|exceeds? (?:the )?(?:model'?s? )?(?:context|maximum number of tokens)"
    r"|reduce the length of the (?:messages|prompt|input)|too large for model with \d+ maximum context",
    re.IGNORECASE,
)
"""How OpenAI, Anthropic, Gemini, Mistral, Bedrock, Groq, xAI, Ollama, llama.cpp, LM Studio and vLLM say the same."""
_REFUSALS_OF_LENGTH = frozenset({None, 400, 413, 422, 500})
"""Statuses with which they say it; 429 is about how many tokens a minute."""


def is_too_long(problem: BaseException) -> bool:
    """Whether the provider says that a request does not fit in the model's window."""
    for each in _chain(problem):
        if _status(each) not in _REFUSALS_OF_LENGTH:
            return False
        if _TOO_LONG & set(_codes(each)) or _SAYS_TOO_LONG.search(str(each)):
            return True
    return False


def _of_status(status: int, problem: BaseException, now: Callable[[], float]) -> Failure:
    headers = _headers(problem)
    lasting = status == _PAYMENT or bool(set(_codes(problem)) & _SPENT) or headers.get("x-should-retry") == "false"
    retry = (status in _SLOW_OR_BUSY or status >= _SERVER_ERROR) and not lasting
    refused = status in _REFUSED and not lasting
    maybe_paid = status not in _REFUSED and (status >= _SERVER_ERROR or status == 408)  # noqa: PLR2004 - request timeout
    return Failure(retry, refused, maybe_paid, _after(headers, now) if retry else None)


def _chain(problem: BaseException) -> Iterator[BaseException]:
    """An error and its causes, outermost first."""
    seen: list[BaseException] = []
    link: BaseException | None = problem
    while link is not None and not any(link is each for each in seen) and len(seen) < _DEEPEST:
        seen.append(link)
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _status(problem: BaseException) -> int | None:
    """The HTTP status, under the names that libraries give it."""
    for holder in (problem, getattr(problem, "response", None)):
        for name in ("status_code", "status", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and value in _STATUSES:
                return int(value)
    return None


def _headers(problem: BaseException) -> dict[str, str]:
    """The headers of the reply, with lower-case names."""
    for holder in (getattr(problem, "response", None), problem):
        items = getattr(getattr(holder, "headers", None), "items", None)
        if callable(items):
            return {str(name).lower(): str(value).strip() for name, value in items()}
    return {}


def _codes(problem: BaseException) -> Iterator[str]:
    """What the body of the reply calls the error, in the shapes of OpenAI and Anthropic."""
    body = getattr(problem, "body", None)
    if not isinstance(body, dict):
        return
    error = body.get("error")
    for holder in (body, error if isinstance(error, dict) else {}):
        yield from (str(holder[name]) for name in ("code", "type") if isinstance(holder.get(name), str | int))


def _names(problem: BaseException) -> Iterator[str]:
    """The names of its classes, of those libraries whose names are known."""
    return (kind.__name__ for kind in type(problem).__mro__ if kind.__module__.partition(".")[0].lstrip("_") in _LIBRARIES)


def _after(headers: Mapping[str, str], now: Callable[[], float]) -> float | None:
    """The seconds of Retry-After, in either of its forms (RFC 9110, 10.2.3), or of OpenAI's retry-after-ms."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, _LONGEST_AFTER)
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is None:
        moment = _moment(text)
        if moment is None:
            return None
        # The provider's own clock, where it shows it: that of this machine may be wrong.
        sent = _moment(headers.get("date"))
        seconds = moment - (now() if sent is None else sent)
    return min(max(seconds, 0.0), _LONGEST_AFTER)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _moment(text: str | None) -> float | None:
    """Seconds since the epoch of a HTTP date."""
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (ValueError, OverflowError):
        return None


BASE = 0.5
"""Seconds: the bound of the first wait."""


@dataclass(frozen=True)
class Policy:
    """How often and how long to try."""

    attempts: int = 8
    """At most, the first one included."""
    broken: int = 4
    """At most so many whose reply could not be read: each may have been paid, and a wrong address answers so for ever."""
    seconds: float = 900.0
    """No attempt begins later than this after the first."""
    base: float = field(default_factory=lambda: BASE)
    """Seconds: the first wait is at most this, each further one at most twice the one before."""
    longest: float = 60.0
    """Seconds: no wait is longer, unless the provider asks for it."""


def persist[T](
    work: Callable[[], T],
    policy: Policy,
    again: Callable[[Failure], None],
    stop: threading.Event,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Do `work` until it succeeds, and give back what it gives.

    Before each further attempt there is a wait, and then `again` is called with the failure; what that raises is raised. The
    wait is random between nothing and a bound that doubles ("full jitter": Brooker, Exponential Backoff and Jitter, AWS
    Architecture Blog, 2015), and at least what the provider asked for. The last error of `work` is raised where another
    attempt cannot succeed, the policy allows none, and once `stop` is set, which also ends a wait.
    """
    return _Persistence(policy, again, stop, clock).run(work)


class _Persistence:
    """The attempts at one piece of work: tenacity makes them, and asks this."""

    def __init__(
        self, policy: Policy, again: Callable[[Failure], None], stop: threading.Event, clock: Callable[[], float]
    ) -> None:
        self._policy = policy
        self._again = again
        self._stop = stop
        self._clock = clock
        self._begun = clock()
        self._broken = 0

    def run[T](self, work: Callable[[], T]) -> T:
        try:
            return work()
        except Exception as problem:
            if not failure_of(problem).retry:
                raise
            failed = [problem]
        import tenacity  # noqa: PLC0415 - takes 0.02 s, and most work is done at once

        def attempt() -> T:
            if failed:
                raise failed.pop()
            return work()

        self._jitter = tenacity.wait_random_exponential(multiplier=self._policy.base, max=self._policy.longest)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._may_succeed),
            wait=self._wait,
            stop=self._is_over,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(attempt)

    def _may_succeed(self, problem: BaseException) -> bool:
        self._problem, self._failure = problem, failure_of(problem)
        self._broken += isinstance(problem, BrokenReplyError)
        return self._failure.retry

    def _wait(self, state: tenacity.RetryCallState) -> float:
        return max(self._jitter(state), self._failure.after or 0.0)

    def _is_over(self, state: tenacity.RetryCallState) -> bool:
        late = self._clock() - self._begun + state.upcoming_sleep > self._policy.seconds
        often = state.attempt_number >= self._policy.attempts or self._broken >= self._policy.broken
        return late or often or self._stop.is_set()

    def _sleep(self, seconds: Any) -> None:  # noqa: ANN401 - tenacity's own float
        if self._stop.wait(seconds):
            raise self._problem
        self._again(self._failure)
