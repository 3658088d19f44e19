"""LLM's models as the run uses them: found once, their HTTP clients kept, their answers plain values."""

from __future__ import annotations

import copy
import itertools
import sys
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .budget import Tokens
from .errors import MissingKeyError, UnknownModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import llm

_LATER = 0.1
"""Seconds after which the clients but the first are made, beside the waiting for the first answer."""

CLIENTS = 8
"""HTTP clients a model: one pool of connections gets slower the more of them are in use."""


@dataclass(frozen=True)
class Completion:
    """What a model answered to one prompt."""

    text: str
    tokens: Tokens


def find(model: object) -> llm.Model:
    """The model of that name or alias, a model as it is, or LLM's default for None.

    Raises UnknownModelError, and UsageError for what is neither a name nor a model of LLM that answers at once.
    """
    import llm  # noqa: PLC0415 - slow to import, and not needed for --help

    if not isinstance(model, str | None):
        if isinstance(model, llm.Model | llm.KeyModel):
            return model  # type: ignore[return-value]  # a KeyModel differs in how it is written only
        message = f"a model must be a name or an llm.Model, not {type(model).__name__}"
        raise UsageError(message)
    try:
        return llm.get_model(model)
    except llm.UnknownModelError:
        name = model or llm.get_default_model()  # type: ignore[no-untyped-call]
        message = f"LLM knows no model {name!r}: `llm models` lists those there are"
        raise UnknownModelError(message) from None


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


def complete(model: llm.Model, prompt: str, *, key: str | None, options: Mapping[str, object], **more: Any) -> Completion:  # noqa: ANN401 - passed on to llm
    """Ask for one answer, alone: no history, not streamed. `more` is passed on: `system`, `schema`."""
    arguments: dict[str, Any] = {"stream": False, "options": dict(options), **more}
    if key is not None:
        arguments["key"] = key
    response = model.prompt(prompt, **arguments)
    return Completion(response.text(), tokens_of(response))


def tokens_of(response: llm.Response) -> Tokens:
    """The tokens a finished response took; zeros where the model does not say."""
    usage = response.usage()
    details = usage.details if isinstance(usage.details, dict) else {}
    of_input = details.get("prompt_tokens_details") or details.get("input_tokens_details")
    cached = of_input.get("cached_tokens") if isinstance(of_input, dict) else None
    return Tokens(usage.input or 0, usage.output or 0, cached if isinstance(cached, int) else 0)


def keep_clients(model: llm.Model, count: int = CLIENTS) -> None:
    """Let this model object use the same few HTTP clients for all its calls.

    LLM's OpenAI models make a client for each call, which costs 34 ms of processor time; a kept one costs 4. A model without
    the method `get_client` is left as it is.
    """
    make = getattr(model, "get_client", None)
    if make is None or getattr(make, "keeps_clients", False):
        return
    kept: dict[str | None, list[Any]] = {}
    turn = itertools.count()
    lock = threading.Lock()

    def get_client(key: str | None, *, async_: bool = False) -> object:
        if async_:
            return make(key, async_=True)
        with lock:
            if key not in kept:
                kept[key] = [make(key)]
                _later(_LATER, _add_clients, kept[key], count - 1)
            return kept[key][next(turn) % len(kept[key])]

    get_client.keeps_clients = True  # type: ignore[attr-defined]
    model.get_client = get_client  # type: ignore[attr-defined]
    weakref.finalize(model, _close, kept).atexit = False


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


def _add_clients(kept: list[Any], count: int) -> None:
    """Add clients like the first, each with connections of its own, where it is openai's."""
    openai = sys.modules.get("openai")
    if openai is None or not isinstance(kept[0], openai.OpenAI):
        return
    import httpx2  # noqa: PLC0415 - openai has imported it

    trust = httpx2.create_ssl_context()
    kept.extend([kept[0].copy(http_client=openai.DefaultHttpxClient(verify=trust)) for _ in range(count)])


def describe(problem: BaseException, key: str | None = None) -> str:
    """One line for an error of a model or its provider: what happened, without a trace, and without `key` if it is in it."""
    text = " ".join("".join(character if character.isprintable() else " " for character in str(problem)).split())
    if key:
        text = text.replace(key, "[key]")
    return f"{type(problem).__name__}: {text}"[:500] if text else type(problem).__name__


def tokens_of_unfinished(response: llm.Response) -> Tokens:
    """The tokens of a response that broke off, as far as the model said."""
    return Tokens(response.input_tokens or 0, response.output_tokens or 0)
