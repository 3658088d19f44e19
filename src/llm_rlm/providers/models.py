"""LLM's models as the run uses them: found once, their HTTP clients kept, their answers whole and plain values."""

from __future__ import annotations

import copy
import itertools
import json
import re
import socket
import sys
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from llm_rlm import registry
from llm_rlm.budget import Tokens
from llm_rlm.errors import BrokenReplyError, MissingKeyError, UnknownModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import llm

_LATER = 0.1
"""Seconds after which the clients but the first are made, beside the waiting for the first answer."""

CLIENTS = 8
"""HTTP clients a model: one pool of connections gets slower the more of them are in use."""

_CONNECT = 10.0
"""Seconds that making a connection may take, unless the time-out is shorter."""

_OVERHEAD = 256
"""Input tokens that a provider may add to the texts it is sent: roles, separators, a date."""

_LIMITS = ("max_tokens", "max_output_tokens", "max_completion_tokens", "num_predict")
"""Options that limit the tokens of an answer."""

_LEAST = 16
"""OpenAI's Responses API takes no lower limit."""

_REASONS = re.compile(r"(?:.*/)?(?:o\d|gpt-[5-9])")
"""Names of OpenAI's models that refuse `max_tokens` in a chat completion."""

_END = re.compile(rb'\ndata: ?\[DONE\]|"type": ?"response\.(completed|incomplete|failed)"')
"""What ends a stream. A text of the model cannot look like it: its quotes and line ends are escaped."""

_END_LENGTH = 64
"""Bytes that are longer than an end."""

_UNFINISHED = ("failed", "cancelled", "in_progress", "queued", "error")
"""What a provider says of an answer that it did not finish, in `status` or `finish_reason`."""


@dataclass(frozen=True)
class Completion:
    """What a model answered to one prompt."""

    text: str
    tokens: Tokens
    cut: bool = False
    """Whether the provider says that the answer was cut at the limit of output tokens."""


@dataclass(frozen=True)
class Cap:
    """Options of a model, and what they bound."""

    options: dict[str, object]
    tokens: int | None
    """The most output tokens an answer can have; None where nothing bounds them."""
    ours: bool
    """Whether the bound was added, and is not the user's or the model's own."""


def find(model: object) -> llm.Model:
    """The model of that name or alias, a model as it is, or LLM's default for None; for a drop-in model the one behind it.

    Raises UnknownModelError, and UsageError for what is neither a name nor a model of LLM that answers at once.
    """
    import llm  # noqa: PLC0415 - slow to import, and not needed for --help

    if not isinstance(model, str | None | llm.Model | llm.KeyModel):
        message = f"a model must be a name or an llm.Model, not {type(model).__name__}"
        raise UsageError(message)
    try:
        found: llm.Model = llm.get_model(model) if isinstance(model, str | None) else model  # type: ignore[assignment]  # a KeyModel differs in how it is written only
    except llm.UnknownModelError:
        name = model or llm.get_default_model()  # type: ignore[no-untyped-call]
        message = f"LLM knows no model {name!r}: `llm models` lists those there are"
        raise UnknownModelError(message) from None
    behind = found.model_id.removeprefix(registry.PREFIX)
    return find(behind) if behind != found.model_id and behind in registry.entries() else found


def key_for(model: llm.Model, explicit: str | None) -> str | None:
    """The key that `model` will be called with; None for a model that needs none.

    Raises MissingKeyError where it needs one and LLM has none, before anything is sent.
    """
    import llm  # noqa: PLC0415 - see find

    try:
        return model.get_key(explicit)
    except llm.NeedsKeyException as problem:
        message = f"{model.model_id}: {problem}"
        raise MissingKeyError(message) from None


def check_options(model: llm.Model, options: Mapping[str, object]) -> None:
    """Raise UsageError for an option that the model does not have, or a value it does not take."""
    import pydantic  # noqa: PLC0415 - llm imports it

    try:
        model.Options(**dict(options))
    except pydantic.ValidationError as problem:
        first = problem.errors()[0]
        name = ".".join(map(str, first["loc"]))
        unknown = f"there is no such option; there are {', '.join(model.Options.model_fields) or 'none'}"
        wrong = unknown if first["type"] == "extra_forbidden" else f"{first['msg']}, not {first['input']!r}"
        message = f"{model.model_id}: option {name}: {wrong}"
        raise UsageError(message) from None


_streamed_only: weakref.WeakSet[llm.Model] = weakref.WeakSet()
"""Models whose servers do not say what an answer took: LLM 0.36 stumbles over that where it is not streamed."""


def complete(model: llm.Model, prompt: str, *, key: str | None, options: Mapping[str, object], **more: Any) -> Completion:  # noqa: ANN401 - passed on to llm
    """Ask for one answer, alone, without a history. `more` is passed on: `system`, `schema`.

    Not streamed, which is faster, unless the model's server has shown that LLM cannot read it so.
    """
    arguments: dict[str, Any] = {"stream": model in _streamed_only, "options": dict(options), **more}
    if key is not None:
        arguments["key"] = key
    response = model.prompt(prompt, **arguments)
    try:
        return Completion(read(response), tokens_of(response), _is_cut(response))
    except BrokenReplyError as problem:
        if isinstance(problem.__cause__, AttributeError) and "model_dump" in str(problem.__cause__):
            _streamed_only.add(model)
        raise


def read(response: llm.Response) -> str:
    """Wait for the whole text of a response.

    Raises BrokenReplyError where something came that was no whole answer: no JSON or not of this API, a stream that ends before
    the answer does, an answer that the provider gave up. It can be told for LLM's OpenAI models with kept clients; other models
    raise what they raise. An answer that is finished and empty is "", and tool arguments that are not JSON are the model's
    mistake: they raise what LLM raises, a JSONDecodeError.
    """
    _arrived.reply = None
    try:
        text = response.text()
    except (ValueError, TypeError, AttributeError, LookupError) as problem:
        reply = _reply_to(response)
        if reply is None or (_is_in_arguments(problem, response) and _breach(response, reply) is None):
            raise
        what = "not valid JSON" if isinstance(problem, json.JSONDecodeError) else "no answer of this API"
        raise _broken(reply.kind, what) from problem
    reply = _reply_to(response)
    if reply is not None and (breach := _breach(response, reply)) is not None:
        raise _broken(reply.kind, breach)
    return text


def _broken(kind: str, why: str) -> BrokenReplyError:
    return BrokenReplyError(f"the reply could not be read: {why} ({kind})")


def _reply_to(response: llm.Response) -> _Reply | None:
    """What arrived in this thread for one of LLM's OpenAI models, through the clients that it keeps."""
    model, reply = response.model, _arrived.reply
    ours = reply is not None and reply.clients is getattr(model, "get_client", None)
    return reply if ours and (_is_openai(model, "Chat") or _is_openai(model, "Responses")) else None


def _is_in_arguments(problem: Exception, response: llm.Response) -> bool:
    """Whether it is the arguments of a tool call that are not JSON: LLM reads those after all the rest."""
    return isinstance(problem, json.JSONDecodeError) and response.response_json is not None


def _breach(response: llm.Response, reply: _Reply) -> str | None:
    """Why a reply that was read is no whole answer, if it is none."""
    said = response.response_json or {}
    first = _first_choice(said)
    ends = (said.get("status"), said.get("finish_reason"), first.get("finish_reason"), reply.end)
    if end := next((end for end in ends if end in _UNFINISHED), None):
        error = said.get("error") or first.get("error")
        reason = error.get("message") if isinstance(error, dict) else None
        return f"the provider says it is {end}" + (f": {reason}" if reason else "")
    if response.stream and not any(ends):
        return "it ends before the answer does"
    return None


def _is_cut(response: llm.Response) -> bool:
    """Whether the answer ended at the limit of output tokens, as OpenAI's two APIs say it."""
    said = response.response_json
    if not isinstance(said, dict):
        return False
    details = said.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return "length" in (said.get("finish_reason"), _first_choice(said).get("finish_reason")) or reason == "max_output_tokens"


def _first_choice(said: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = said.get("choices")
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}


def capped(model: llm.Model, options: Mapping[str, object], most: int) -> Cap:
    """The options with a limit of `most` output tokens, where none is given and it is certain that the model takes one.

    OpenAI refuses `max_tokens` in a chat completion of a reasoning model, so there it is not added; its Responses API takes
    no limit below 16, so there it is at least that.
    """
    given = [_positive(options[name]) for name in _LIMITS if options.get(name) is not None]
    own = _positive(getattr(model, "default_max_tokens", None))
    if given or own is not None:
        bounds = given or [own]
        return Cap(dict(options), max((bound for bound in bounds if bound is not None), default=None), ours=False)
    name = next((name for name in _LIMITS if name in model.Options.model_fields), None)
    if name is not None and _takes_limit(model, options):
        tokens = max(most, _LEAST) if _is_openai(model, "Responses") else most
        added = {**options, name: tokens}
        with suppress(UsageError):
            check_options(model, added)
            return Cap(added, tokens, ours=True)
    return Cap(dict(options), None, ours=False)


def _positive(value: object) -> int | None:
    """The number that bounds; 0 and less mean no bound where they mean anything."""
    number = int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()) else 0
    return number if number > 0 else None


def _takes_limit(model: llm.Model, options: Mapping[str, object]) -> bool:
    if _is_openai(model, "Responses") and not options.get("chat_completions"):
        return True
    if _is_openai(model, "Responses") or _is_openai(model, "Chat"):
        name = getattr(model, "model_name", None) or model.model_id
        return "reasoning_effort" not in model.Options.model_fields and not _REASONS.match(name)
    return True


def _is_openai(model: llm.Model, name: str) -> bool:
    """Whether it is one of LLM's OpenAI models: of the class `Chat` or `Responses`."""
    kind = getattr(sys.modules.get("llm.default_plugins.openai_models"), name, None)
    return kind is not None and isinstance(model, kind)


def input_bound(*texts: str | None) -> int:
    """The most input tokens that these texts can be: no token is shorter than a byte of UTF-8."""
    return _OVERHEAD + sum(len(text.encode("utf-8", "surrogatepass")) for text in texts if text)


def tokens_of(response: llm.Response) -> Tokens:
    """The tokens a finished response took; zeros where the model does not say."""
    usage = response.usage()
    details = usage.details if isinstance(usage.details, dict) else {}
    of_input = details.get("prompt_tokens_details") or details.get("input_tokens_details")
    cached = of_input.get("cached_tokens") if isinstance(of_input, dict) else None
    return Tokens(usage.input or 0, usage.output or 0, cached if isinstance(cached, int) else 0)


def keep_clients(model: llm.Model, count: int = CLIENTS, timeout: float | None = None) -> None:
    """Let this model object use the same few HTTP clients for all its calls.

    LLM's OpenAI models make a client for each call, which costs 34 ms of processor time; a kept one costs 4. Kept clients of
    openai do not try again by themselves, and wait at most `timeout` seconds for each piece of an answer; None leaves that to
    the client. A model without the method `get_client` is left as it is, as are clients of other makes.
    """
    make = getattr(model, "get_client", None)
    if make is None or isinstance(make, _Clients):
        return
    clients = _Clients(make, count, timeout)
    model.get_client = clients  # type: ignore[attr-defined]
    weakref.finalize(model, _close, clients.kept).atexit = False


def cancel(model: llm.Model) -> None:
    """Let the requests under way through the kept clients of this model fail now; later ones work. From any thread.

    One that is just making its connection fails when that is made. Without kept clients of openai, nothing happens.
    """
    clients = getattr(model, "get_client", None)
    if isinstance(clients, _Clients):
        clients.cancel()


class _Clients:
    """The HTTP clients of one model, used in turn. Called like the `get_client` that makes them."""

    def __init__(self, make: Callable[..., Any], count: int, timeout: float | None) -> None:
        self.kept: dict[str | None, list[Any]] = {}
        self._make = make
        self._count = count
        self._timeout = timeout
        self._turn = itertools.count()
        self._lock = threading.Lock()
        """Guards `kept` and the two below."""
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._cancelled = 0

    def __call__(self, key: str | None, *, async_: bool = False) -> object:
        """The next client for that key."""
        if async_:
            return self._make(key, async_=True)
        with self._lock:
            if key not in self.kept:
                self.kept[key] = [self._patient(self._make(key))]
                _later(_LATER, self._add, self.kept[key])
            return self.kept[key][next(self._turn) % len(self.kept[key])]

    def cancel(self) -> None:
        """Shut down every connection; it wakes the threads that read from one."""
        with self._lock:
            self._cancelled += 1
            sockets = list(self._sockets)
        for each in sockets:
            _shut(each)

    def _patient(self, client: Any) -> Any:  # noqa: ANN401 - a client of any make
        """A client of openai without retries of its own, with the time-out and the hooks; another one as it is."""
        openai = sys.modules.get("openai")
        if openai is None or not isinstance(client, openai.OpenAI):
            return client
        http: Any = getattr(client, "_client", None)  # openai shows it nowhere else
        if hasattr(http, "event_hooks"):
            http.event_hooks = {kind: [*http.event_hooks[kind], *hooks] for kind, hooks in self._hooks().items()}
        if self._timeout is None:
            return client.with_options(max_retries=0)
        timeout = openai.Timeout(self._timeout, connect=min(self._timeout, _CONNECT))
        return client.with_options(max_retries=0, timeout=timeout)

    def _add(self, kept: list[Any]) -> None:
        """Add clients like the first, each with connections of its own, where it is openai's."""
        openai = sys.modules.get("openai")
        if openai is None or not isinstance(kept[0], openai.OpenAI):
            return
        import httpx2  # noqa: PLC0415 - openai has imported it

        trust = httpx2.create_ssl_context()
        make = partial(openai.DefaultHttpxClient, verify=trust, event_hooks=self._hooks())
        kept.extend([kept[0].copy(http_client=make()) for _ in range(self._count - 1)])

    def _hooks(self) -> dict[str, list[Callable[[Any], None]]]:
        return {"request": [self._trace], "response": [self._arrive]}

    def _arrive(self, response: Any) -> None:  # noqa: ANN401 - a response of httpx
        """Note a reply, and how its stream ends: LLM takes a stream that broke off for a whole answer."""
        name = response.headers.get("content-type", "").partition(";")[0].strip() or "no content type"
        _arrived.reply = _Reply(self, f"{name}, HTTP {response.status_code}")
        response.iter_bytes = partial(_watched, response.iter_bytes, _arrived.reply)

    def _trace(self, request: Any) -> None:  # noqa: ANN401 - a request of httpx
        request.extensions = {**request.extensions, "trace": partial(self._note, self._cancelled)}

    def _note(self, cancelled: int, event: str, info: Mapping[str, Any]) -> None:
        """Keep the socket of a connection that has been made. TLS has a socket of its own."""
        if not event.endswith(("connect_tcp.complete", "start_tls.complete")):
            return
        made = info["return_value"].get_extra_info("socket")
        if not isinstance(made, socket.socket):
            return
        with self._lock:
            self._sockets.add(made)
            late = cancelled != self._cancelled
        if late:
            _shut(made)


def _shut(connection: socket.socket) -> None:
    # The method of the base class: that of ssl takes its state away from the thread that reads.
    with suppress(OSError, ValueError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


@dataclass
class _Reply:
    """What a kept client received."""

    clients: _Clients
    kind: str
    end: str | None = None
    """How its stream ended: "done", "completed", "incomplete", "failed", or None when it did not."""


class _Arrived(threading.local):
    """The last reply that arrived in this thread."""

    reply: _Reply | None = None


_arrived = _Arrived()


def _watched(read_bytes: Callable[..., Iterator[bytes]], reply: _Reply, *arguments: Any) -> Iterator[bytes]:  # noqa: ANN401 - passed on
    tail = b"\n"
    for piece in read_bytes(*arguments):
        found = _END.search(tail + piece)
        if found is not None:
            reply.end = (found[1] or b"done").decode()
        tail = (tail + piece)[-_END_LENGTH:]
        yield piece


def twin(model: llm.Model) -> llm.Model:
    """The same model with HTTP clients of its own: sub-calls spread over several, the root model keeps to one connection."""
    if getattr(model, "get_client", None) is None:
        return model
    other = copy.copy(model)
    vars(other).pop("get_client", None)
    return other


def warm(model: llm.Model, key: str | None, after: float = 0.0) -> None:
    """Make the model's first HTTP client in `after` seconds, beside what the caller does; it takes 0.1 s."""
    make = getattr(model, "get_client", None)
    if make is not None:
        _later(after, make, key)


def _close(kept: Mapping[str | None, Iterable[Any]]) -> None:
    """Close the connections of a model that is gone."""
    for client in itertools.chain(*kept.values()):
        getattr(client, "close", lambda: None)()


def _later(seconds: float, work: Callable[..., object], *arguments: object) -> None:
    def attempt() -> None:
        # What fails here fails again where it is needed, and is reported there.
        with suppress(Exception):
            work(*arguments)

    timer = threading.Timer(seconds, attempt)
    timer.daemon = True
    timer.start()


def describe(problem: BaseException, key: str | None = None) -> str:
    """One line for an error of a model or its provider: what happened, without a trace, and without `key` if it is in it."""
    text = " ".join("".join(character if character.isprintable() else " " for character in str(problem)).split())
    for form in {key, quote(key, safe=""), quote_plus(key)} if key else ():
        text = text.replace(form, "[key]")
    return f"{type(problem).__name__}: {text}"[:500] if text else type(problem).__name__


def tokens_of_unfinished(response: llm.Response) -> Tokens:
    """The tokens of a response that broke off, as far as the model said."""
    return Tokens(response.input_tokens or 0, response.output_tokens or 0)
