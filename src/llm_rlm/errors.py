"""The errors of llm-rlm; `RunFailedError` stands in `result`, whose value it carries, and `AbortedError` in `turns`.

    RLMError
    ├── UsageError             an argument, option or source that cannot be used; says which, and what to do
    ├── ModelError             a model could not be had or did not answer
    │   ├── UnknownModelError  no such model in LLM
    │   ├── MissingKeyError    the model needs a key that LLM does not have
    │   └── BrokenReplyError   something came that was no whole answer
    ├── LimitReachedError      a limit of the run: kind, value, limit
    └── SandboxError           the sandbox could not start, or broke in a way that the root model cannot mend

What the root model can mend, an error in its code or in the arguments of a tool, is a result and never one of these.
"""

from __future__ import annotations


class RLMError(Exception):
    """The base of all errors that llm-rlm raises on purpose. Its text is one line for the user."""


class UsageError(RLMError):
    """An argument, option or source cannot be used."""


class ModelError(RLMError):
    """A model could not be had, or failed to answer."""


class UnknownModelError(ModelError):
    """LLM knows no model of that name."""


class MissingKeyError(ModelError):
    """The model needs a key, and LLM has none for it."""


class BrokenReplyError(ModelError):
    """What the provider sent was no whole answer: it broke off, or is not of this API."""


class LimitReachedError(RLMError):
    """A limit of the run was reached."""

    def __init__(self, kind: str, limit: float, used: float, more: float | None = None) -> None:
        """`kind` is what is limited: `calls`, `turns`, `seconds`, `tokens` or `cost`; the others are in its unit.

        `more` is what the next request could take, where it is that which does not fit.
        """
        self.kind = kind
        self.limit = limit
        self.used = used
        rest = f": {amount(kind, used)} used, and the next could take up to {amount(kind, more)}" if more is not None else ""
        super().__init__(f"the limit of {amount(kind, limit)} is reached{rest}")


def amount(kind: str, value: float) -> str:
    """So much of what is limited, as a person reads it: `$0.50`, `$0.000012`, `1,000 calls`."""
    if kind == "cost":
        rounded = float(f"{value:.2g}")
        if not 0 < rounded < _DIME:
            return f"${value:.2f}"
        return "$" + f"{rounded:.7f}".rstrip("0") if rounded >= _LEAST else f"under ${_LEAST:f}"
    kind = kind.removesuffix("s") if value == 1 else kind
    return f"{value:,.0f} {kind}" if float(value).is_integer() else f"{value:,.1f} {kind}"


_DIME = 0.1
_LEAST = 1e-6
"""USD. Of less it is only said that it is less."""


class SandboxError(RLMError):
    """The sandbox could not start, or broke in a way that no code of the root model can mend."""
