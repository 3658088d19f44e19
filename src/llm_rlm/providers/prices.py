"""What a model's tokens cost: as the user says, else as the table of genai-prices that is installed says.

A model is looked up there only where it is known for sure who is paid for it: by the address it is asked at, else by the key
it needs. A name alone says nothing, since a server of one's own may call a model `gpt-4o`. An unknown price is None, never 0.
"""

from __future__ import annotations

import os
import re
import shlex
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from llm_rlm.config import Rate
from llm_rlm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import llm
    from genai_prices.types import ModelInfo, ModelPrice, PriceCalculation

    from llm_rlm.budget import Tokens

__all__ = ["Price", "Prices", "Rate", "how_to_give", "is_known", "parse"]

PROVIDERS = {
    "anthropic": "anthropic",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "gemini": "google",
    "grok": "x-ai",
    "groq": "groq",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "xai": "x-ai",
}
"""From the name of the key that LLM's plugins ask for to the provider in genai-prices."""

_NAMED_BY_USER = frozenset({"azure", "databricks", "modal"})
"""Providers at whose addresses a model's name is its user's choice, and so says nothing about its price."""

_STANDARD_TIERS = frozenset({None, "auto", "default"})

_MILLION = 1_000_000


class Price(Protocol):
    """What the tokens of one model cost, in USD."""

    def cost(self, tokens: Tokens) -> float:
        """What these tokens of one answer cost now. What the provider had in its cache is priced as such."""

    def worst(self, input_tokens: int, output_tokens: int) -> float:
        """The most that one answer can cost, now or within a day; never less than `cost` of any tokens within these bounds.

        Whatever is dearest is assumed: nothing in the provider's cache, or all written to it (for as long as it keeps it
        unless told otherwise), and the hour of the day.
        """


class Prices:
    """Of each model, what its tokens cost."""

    def __init__(self, given: Mapping[str, Rate] | None = None, windows: Mapping[str, int] | None = None) -> None:
        """Both are the user's own, prices and windows in tokens, by model id, name or alias: they beat the table."""
        self._given = dict(given or {})
        self._windows = dict(windows or {})
        self._found_windows: dict[tuple[object, ...], int | None] = {}
        self._found: dict[tuple[object, ...], Price | None] = {}

    def warm(self) -> None:
        """Begin to load the table, beside what the caller does; it takes 0.3 s. `of` waits for it where it needs it."""
        threading.Thread(target=_load, daemon=True).start()

    def of(self, model: llm.Model, options: Mapping[str, object] | None = None) -> Price | None:
        """The price of this model when it is asked with these options; None where it is not known.

        Of the options `service_tier` has a price of its own.
        """
        tier = (options or {}).get("service_tier")
        asked = (model.model_id, *_reference(model), _address(model), _key(model), tier)
        if asked not in self._found:
            rate = _of_model(self._given, model)
            self._found[asked] = _Given(rate) if rate is not None else _listed(model, tier)
        return self._found[asked]

    def window(self, model: llm.Model, options: Mapping[str, object] | None = None) -> int | None:
        """Tokens that this model takes at once, when it is asked with these options; None where that is not known.

        Of the options `num_ctx`, as Ollama has it, says how many.
        """
        told = str((options or {}).get("num_ctx") or "")
        asked = (model.model_id, *_reference(model), _address(model), _key(model), told)
        if asked not in self._found_windows:
            given = _of_model(self._windows, model) or (int(told) if told.isdecimal() else None)
            self._found_windows[asked] = given or _listed_window(model)
        return self._found_windows[asked]


def _of_model[Given](given: Mapping[str, Given], model: llm.Model) -> Given | None:
    """What is given for the model: by its id or alias, else by the name it has at the provider's."""
    if not given or model.model_id in given:
        return given.get(model.model_id)
    import llm  # noqa: PLC0415 - slow to import

    known = llm.get_model_aliases()
    for name, value in given.items():
        # A name that LLM knows is that model's, also where another has the same at its provider's.
        if (known[name].model_id == model.model_id) if name in known else (name in _reference(model)):
            return value
    return None


def parse(text: str) -> tuple[str, Rate]:
    """The model and its price from `MODEL=IN,OUT` or `MODEL=IN,OUT,CACHED`, in USD per million tokens.

    Raises UsageError in one line that names cause and cure.
    """
    model, _, rates = text.rpartition("=")
    try:
        return _name(model), Rate(*_numbers(rates))
    except UsageError as problem:
        cure = "write MODEL=IN,OUT or MODEL=IN,OUT,CACHED in USD per million tokens, such as my-model=0.1,0.4"
        message = f"the price {text!r} cannot be used: {problem}; {cure}"
        raise UsageError(message) from None


def is_known(name: str) -> bool:
    """Whether a price of that name is for any model of LLM: an id, an alias, or the name that a provider has for it."""
    import llm  # noqa: PLC0415 - slow to import

    return name in llm.get_model_aliases() or any(name in _reference(model) for model in llm.get_models())


def how_to_give(model_id: str) -> str:
    """The advice how to give a price for the model."""
    example = shlex.quote(f"{model_id}=IN,OUT")
    return f"give its price with --price {example} (USD per million tokens), or in the table [prices] of rlm.toml"


@dataclass(frozen=True)
class _Given:
    """As the user says."""

    rate: Rate

    # Fractions are exact: a sum of parts is never more than the whole, as it can be with floats.

    def cost(self, tokens: Tokens) -> float:
        fresh, cached, output = _parts(tokens)
        of_input = fresh * Fraction(self.rate.input) + cached * self._cached
        return float((of_input + output * Fraction(self.rate.output)) / _MILLION)

    def worst(self, input_tokens: int, output_tokens: int) -> float:
        dearest = max(Fraction(self.rate.input), self._cached)
        return float((input_tokens * dearest + output_tokens * Fraction(self.rate.output)) / _MILLION)

    @property
    def _cached(self) -> Fraction:
        return Fraction(self.rate.input if self.rate.cached_input is None else self.rate.cached_input)


@dataclass(frozen=True)
class _Listed:
    """As the table says."""

    model: ModelInfo
    context: Mapping[str, str]

    def cost(self, tokens: Tokens) -> float:
        fresh, cached, output = _parts(tokens)
        return _total(self.model.get_prices(_now(), self.context), fresh + cached, output, cache_read_tokens=cached)

    def worst(self, input_tokens: int, output_tokens: int) -> float:
        return max(
            _total(table, tokens, output_tokens, **cache)
            for table in self.tables()
            for tokens in _dearest(table, input_tokens)
            for cache in ({}, {"cache_read_tokens": tokens}, {"cache_write_tokens": tokens})
        )

    @property
    def countable(self) -> bool:
        """Whether the price follows from the tokens of input and output: not so for sound, images, pages, or citations."""
        return all(
            "input_mtok" in keys and {key for key in keys if key.startswith("output_")} == {"output_mtok"}
            for keys in map(_keys, self.tables())
        )

    def tables(self) -> list[ModelPrice]:
        """What holds now, and what will within a day: some providers take more at some hours."""
        if not isinstance(self.model.prices, list):
            return [self.model.get_prices(_now(), self.context)]
        tables: list[ModelPrice] = []
        for hours in range(25):
            table = self.model.get_prices(_now() + timedelta(hours=hours), self.context)
            if table not in tables:
                tables.append(table)
        return tables


def _parts(tokens: Tokens) -> tuple[int, int, int]:
    """Input that was not cached, input that was, and output; whatever the model said, none less than 0."""
    cached = max(0, min(tokens.cached_input, tokens.input))
    return max(0, tokens.input - cached), cached, max(0, tokens.output)


def _total(table: ModelPrice, input_tokens: int, output_tokens: int, **cache: int) -> float:
    from genai_prices import Usage  # noqa: PLC0415 - slow to import

    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, **cache)
    return float(table.calc_price(usage)["total_price"])


def _dearest(table: ModelPrice, input_tokens: int) -> Iterator[int]:
    """Numbers of input tokens of which one costs the most: all, and the last before each step of the price."""
    yield input_tokens
    starts = {tier.start for key in _keys(table) for tier in getattr(getattr(table, key), "tiers", ())}
    yield from (start for start in starts if start < input_tokens)


def _keys(table: ModelPrice) -> set[str]:
    """What is priced: `input_mtok` and `output_mtok` are tokens of input and output."""
    return {key for key, value in vars(table).items() if value is not None}


def _now() -> datetime:
    return datetime.now(UTC)


def _load() -> None:
    # What fails here fails again where it is needed, and is reported there.
    with suppress(Exception):
        _look_up("gpt-4o", provider_id="openai")


def _listed(model: llm.Model, tier: object) -> Price | None:
    """The price of the model as the table has it, if it is sure which that is."""
    found = next(filter(None, (_find(model, name) for name in _reference(model))), None)
    if found is None:
        return None
    context = {} if tier in _STANDARD_TIERS else {"service_tier": str(tier)}
    if context and not any(variant.when == context for variant in found.price_variants or ()):
        return None
    price = _Listed(found, context)
    return price if price.countable else None


def _listed_window(model: llm.Model) -> int | None:
    found = next(filter(None, (_find(model, name) for name in _reference(model))), None)
    return found.context_window if found is not None else None


def _find(model: llm.Model, name: str) -> ModelInfo | None:
    address = _address(model)
    if address is not None:
        return _find_at(address, name)
    provider = PROVIDERS.get(_key(model) or "")
    found = _look_up(name, provider_id=provider) if provider else None
    return found.model if found else None


def _find_at(address: str, name: str) -> ModelInfo | None:
    """The model of that name at that address: one of a provider, in full, and no other that only looks like it."""
    with suppress(ValueError):
        parts = urlsplit(address)
        host = f"https://{parts.hostname}"
        own = parts.scheme == "https" and parts.port in {None, 443} and parts.username is None
        found = _look_up(name, provider_api_url=f"{host}{parts.path}") if own else None
        if found is not None and found.provider.id not in _NAMED_BY_USER:
            # The patterns of genai-prices do not say where a host ends, and some go on into the path.
            pattern = re.compile(found.provider.api_pattern)
            whole = pattern.match(f"{host}{parts.path}")
            if whole and whole.end() >= len(host) and not pattern.match(f"https://unknown{parts.path}"):
                return found.model
    return None


def _look_up(name: str, *, provider_id: str | None = None, provider_api_url: str | None = None) -> PriceCalculation | None:
    import genai_prices  # noqa: PLC0415 - slow to import

    usage = genai_prices.Usage(input_tokens=1, output_tokens=1)
    try:
        if provider_api_url is not None:
            return genai_prices.calc_price(usage, name, provider_api_url=provider_api_url)
        return genai_prices.calc_price(usage, name, provider_id=provider_id)
    except (LookupError, ValueError):
        return None


def _reference(model: llm.Model) -> list[str]:
    """What the provider may know the model by, the likeliest first."""
    own = [value for name, value in vars(model).items() if name == "model_name" or name.endswith("_model_id")]
    sent = [value for value in own if isinstance(value, str) and value]
    if sent:
        return sent
    key = _key(model) or ""
    # What a plugin puts before the provider's own name; elsewhere a dash is part of it, as in mistral-small.
    prefixes = [f"{key}/", f"{key}-"] if key in {"cerebras", "groq"} else [f"{key}/"]
    names = [model.model_id.removeprefix(prefix) for prefix in prefixes if key]
    return list(dict.fromkeys([*names, model.model_id]))


def _key(model: llm.Model) -> str | None:
    key = getattr(model, "needs_key", None)
    return key if isinstance(key, str) else None


def _address(model: llm.Model) -> str | None:
    """Where the model is asked, if that is said: by itself, or as the clients of its provider take it from the environment."""
    own = (getattr(model, name, None) for name in ("api_base", "base_url"))
    key = _key(model)
    said = [*own, os.environ.get(f"{key.upper()}_BASE_URL") if key else None]
    return next((str(value) for value in said if value), None)


def _name(text: str) -> str:
    if not text.strip():
        message = "it names no model"
        raise UsageError(message)
    return text.strip()


def _numbers(text: str) -> list[float]:
    parts = text.split(",")
    if len(parts) not in {2, 3}:
        message = f"there must be two or three numbers after the last '=', not {len(parts)}"
        raise UsageError(message)
    return [_number(part.strip()) for part in parts]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        message = f"{text!r} is not a number"
        raise UsageError(message) from None
