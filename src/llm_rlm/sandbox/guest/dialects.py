"""Names that models trained on other RLMs write, in terms of ours: `FINAL`, `FINAL_VAR`, `SHOW_VARS`, `answer`, batches.

See Zhang, Kraska and Khattab (arXiv 2512.24601) for the first three and the batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

ALIASES = {"llm_query_batched": "llm_batch", "rlm_query_batched": "rlm_query_batch"}
"""Other names of functions, where there are those."""

_CONTENT, _READY = "content", "ready"
_MOST_NAMED = 20


class Submit(Protocol):
    """The function `submit` of cells."""

    def __call__(self, answer: object, quotes: object = ()) -> None:
        """Give the final answer."""


class Session(Protocol):
    """What dialects need to know of the session."""

    namespace: dict[str, Any]

    def names(self) -> list[str]:
        """The names of the variables that cells have made."""

    def described(self) -> Iterable[str]:
        """Each of those variables with its type and length."""

    def show(self, text: str) -> object:
        """Show a text as if the cell had printed it."""


class Dialects:
    """The names of other RLMs in one session."""

    def __init__(self, session: Session, submit: Submit) -> None:
        """Nothing is put in the namespace yet."""
        self._session = session
        self._submit = submit
        self._answer: dict[str, object] = {_CONTENT: "", _READY: False}

    def names(self) -> dict[str, object]:
        """What to put in the namespace, beside our own functions there."""
        namespace = self._session.namespace
        found: dict[str, object] = {name: namespace[ours] for name, ours in ALIASES.items() if ours in namespace}
        return found | {"FINAL": self._final, "FINAL_VAR": self._final_var, "SHOW_VARS": self._show, "answer": self._answer}

    def end_cell(self) -> None:
        """Submit what `answer` holds, if a cell has said that it is ready. Raises what `submit` does."""
        if not self._is_ours(self._session.namespace.get("answer")) or not self._answer.get(_READY):
            return
        self._answer[_READY] = False  # should it be sent back, it is not submitted again as it is
        self._submit(self._answer)

    def meant(self, value: object) -> object:
        """The value to be submitted: the content of `answer`, if it is that. Raises ValueError if it is empty."""
        if not self._is_ours(value):
            return value
        content = self._answer.get(_CONTENT)
        if content is None or content == "":
            message = 'answer["content"] is empty: put the answer in it, or call submit(value)'
            raise ValueError(message)
        return content

    def is_unused(self, value: object) -> bool:
        """Whether it is our `answer`, and nothing was ever put in it."""
        return self._is_ours(value) and self._answer.get(_CONTENT) in (None, "")

    def _is_ours(self, value: object) -> bool:
        """Whether it is the variable `answer` that cells find, and not one of their own."""
        return value is self._answer

    def _final(self, value: object, quotes: object = ()) -> None:
        """Give the final answer, as `submit(value)` does."""
        self._submit(value, quotes)

    def _final_var(self, name: object, quotes: object = ()) -> None:
        """Give the value of a variable as the final answer: `FINAL_VAR("name")`, or `FINAL_VAR(name)`."""
        namespace = self._session.namespace
        if isinstance(name, str):
            if not name.startswith("__") and name in namespace:
                self._submit(namespace[name], quotes)
                return
            if not any(value is name for key, value in list(namespace.items()) if key != "_"):
                there = ", ".join(self._session.names()[-_MOST_NAMED:]) or "none yet"
                message = f"there is no variable {name[:100]!r}. Variables: {there}"
                raise NameError(message)
        self._submit(name, quotes)

    def _show(self) -> Shown:
        """Print the variables, with their types and lengths."""
        text = "\n".join(self._session.described()) or "no variables yet"
        self._session.show(f"{text}\n")
        return Shown(text)


class Shown(str):
    """A text that has been printed, so that it is not shown again where it is printed or is the value of a cell."""

    __slots__ = ()

    def __str__(self) -> str:
        """Nothing more to print."""
        return ""

    def __repr__(self) -> str:
        """Nothing more to show."""
        return ""
