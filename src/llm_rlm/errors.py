"""The errors of llm-rlm; `RunFailedError` stands in `result`, whose value it carries, and `AbortedError` in `loop`.

    RLMError
    ├── UsageError             an argument, option or source that cannot be used; says which, and what to do
    ├── ModelError             a model could not be had or did not answer
    │   ├── UnknownModelError  no such model in LLM
    │   └── MissingKeyError    the model needs a key that LLM does not have
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


class LimitReachedError(RLMError):
    """A limit of the run was reached."""

    def __init__(self, kind: str, limit: float, used: float) -> None:
        """`kind` is what is limited: `calls`, `turns` or `seconds`; `limit` and `used` are in its unit."""
        self.kind = kind
        self.limit = limit
        self.used = used
        super().__init__(f"the limit of {limit:g} {kind} is reached")


class SandboxError(RLMError):
    """The sandbox could not start, or broke in a way that no code of the root model can mend."""
