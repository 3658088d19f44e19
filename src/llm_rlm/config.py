"""What the user has set once for all: `rlm.toml` in LLM's folder."""

from __future__ import annotations

import json
import sys
import tomllib
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, TypeGuard

from .errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Rate:
    """A price that the user gave for a model: USD per million tokens.

    Raises UsageError for what is not a finite number of at least 0.
    """

    input: float
    output: float
    cached_input: float | None = None
    """Of the input, what the provider had in its cache. None: as `input`."""

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be a price."""
        for each in fields(self):
            value = getattr(self, each.name)
            if not _is_amount(value) and (value is not None or each.default is not None):
                message = f"the price {each.name} must be a number of at least 0, in USD per million tokens, not {value!r}"
                raise UsageError(message)


@dataclass(frozen=True)
class Config:
    """What `rlm.toml` holds, and what holds without it."""

    max_cost: float | None = 1.0
    """USD that one run of `llm rlm` may cost, where prices are known; None (`false` in the file) for no limit."""
    cache_days: float | None = 30.0
    """Days for which answers of sub-models are used again; 0 for never, None (`false` in the file) for ever."""
    prices: Mapping[str, Rate] = field(default_factory=dict)
    """By model id, name or alias."""
    windows: Mapping[str, int] = field(default_factory=dict)
    """Tokens that models take at once, likewise by name: near the end of its window a conversation is shortened."""
    otel: bool = False
    """Whether each run of `llm rlm` is sent to OpenTelemetry once it has ended."""


def load(path: Path | None = None) -> Config:
    """What the file says: that at `path`, or `rlm.toml` in LLM's folder. Without a file, the defaults.

    Raises UsageError, one line that names the file, the key, the cause and the cure.
    """
    path = path or _path()
    try:
        return _read(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return Config()
    except OSError as problem:
        message = f"{path} cannot be read: {problem.strerror}; make it a file that you may read, or take it away"
        raise UsageError(message) from None
    except ValueError as problem:
        message = f"{path} is not TOML: {problem}; mend it, or take it away"
        raise UsageError(message) from None
    except UsageError as problem:
        message = f"{path}: {problem}"
        raise UsageError(message) from None


def _path() -> Path:
    import llm  # noqa: PLC0415 - slow to import

    path: Path = llm.user_dir() / "rlm.toml"  # type: ignore[no-untyped-call]
    return path


def _read(text: str) -> Config:
    found = tomllib.loads(text)
    _refuse_unknown(found, [each.name for each in fields(Config)], "")
    default = Config()
    return Config(
        _limit("max_cost", found.get("max_cost", default.max_cost), "USD", "no limit"),
        _limit("cache_days", found.get("cache_days", default.cache_days), "days; 0 for never", "no end"),
        prices(found.get("prices", {})),
        windows(found.get("windows", {})),
        _flag("otel", found.get("otel", default.otel)),
    )


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        message = f"{key} must be true or false, not {value!r}"
        raise UsageError(message)
    return value


def _limit(key: str, value: object, unit: str, without: str) -> float | None:
    if value is False:
        return None
    if not _is_amount(value):
        message = f"{key} must be a number of at least 0 ({unit}), or false for {without}, not {value!r}"
        raise UsageError(message)
    return float(value)


def prices(found: object) -> dict[str, Rate]:
    """Prices by model, of a table as the file has it. Raises UsageError."""
    form = '[prices."my-model"], with input and output in USD per million tokens'
    if not isinstance(found, dict):
        message = f"prices must be a table for each model, {form}, not {found!r}"
        raise UsageError(message)
    return {model: _rate(f"prices.{json.dumps(model, ensure_ascii=False)}", rate, form) for model, rate in found.items()}


def windows(found: object) -> dict[str, int]:
    """Tokens by model, likewise."""
    form = 'in tokens, [windows] with a line for each model such as "my-model" = 8192'
    if not isinstance(found, dict):
        message = f"windows must be a table, {form}, not {found!r}"
        raise UsageError(message)
    for model, tokens in found.items():
        if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens <= 0:
            message = f"windows.{json.dumps(model, ensure_ascii=False)} must be a whole number above 0, {form}, not {tokens!r}"
            raise UsageError(message)
    return found


def _rate(key: str, found: object, form: str) -> Rate:
    if not isinstance(found, dict):
        message = f"{key} must be a table, {form}, not {found!r}"
        raise UsageError(message)
    _refuse_unknown(found, [each.name for each in fields(Rate)], f" in {key}")
    missing = [name for name in ("input", "output") if name not in found]
    if missing:
        message = f"{key} lacks {' and '.join(missing)}: a number of at least 0, in USD per million tokens"
        raise UsageError(message)
    try:
        return Rate(**found)
    except UsageError as problem:
        message = f"{key}: {problem}"
        raise UsageError(message) from None


def _refuse_unknown(found: Mapping[str, object], known: Iterable[str], where: str) -> None:
    for key in found:
        if key not in known:
            dotted = where and isinstance(found[key], dict)
            cure = '; a model with a dot in its name is written in quotes, [prices."gpt-5.2"]' if dotted else ""
            message = f"there is no key {key!r}{where}: there are {', '.join(known)}{cure}"
            raise UsageError(message)


def _is_amount(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max
