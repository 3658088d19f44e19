"""The answer of a run: what is taken for it, and what the root model is to mend first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llm_rlm import prompts
from llm_rlm.root.names import SUBMIT
from llm_rlm.sandbox import Answer

from .fitting import Misfit, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llm_rlm.context import Citation

    from .evidence import Evidence

_MOST_QUOTED = 200


class Answers:
    """Takes answers as they fit the schema, their quotes looked up. The last that is taken counts."""

    def __init__(
        self,
        evidence: Evidence,
        is_stopped: Callable[[], bool],
        schema: dict[str, Any] | None = None,
        taken: Answer | None = None,
        *,
        cite: bool = False,
    ) -> None:
        """Quotes are looked up in the documents of `evidence`; `taken` is what an earlier life of the run has taken."""
        self.taken = taken
        self._evidence = evidence
        self._is_stopped = is_stopped
        self._schema = schema
        self._cite = cite
        self._asked_to_quote = False
        self._misfit: Misfit | None = None
        """The last answer that did not fit the schema, if there is none that does."""

    def take(self, answer: Answer) -> str | None:
        """Take an answer that fits the schema, its quotes looked up. A str is what the root model is to mend first.

        Quotes it is asked to mend once.
        """
        fitted = self._fitted(answer)
        if isinstance(fitted, Misfit):
            self._misfit = fitted
            return _does_not_fit(fitted)
        answer = fitted
        if answer.quotes or self._cite:
            missing = [each for each in self._evidence.look_up(answer.quotes, self._is_stopped) if each.found is None]
            wrong = _what_is_wrong(answer, missing)
            if self._cite and wrong is not None and not self._asked_to_quote and not self._is_stopped():
                self._asked_to_quote = True
                return wrong
        self.taken = answer
        return None

    def _fitted(self, answer: Answer) -> Answer | Misfit:
        return fit(answer, self._schema) if self._schema is not None else answer

    def take_prose(self, text: str) -> None:
        """Take what the root model has said, and not submitted, for its answer, if it fits the schema."""
        fitted = self._fitted(Answer(text))
        if isinstance(fitted, Misfit):
            self._misfit = self._misfit or fitted
        else:
            self.taken = fitted

    def wrong_with(self, text: str) -> str | None:
        """Why a text cannot be taken for the answer, for the root model; None if it can."""
        fitted = self._fitted(Answer(text)) if text else None
        return _does_not_fit(fitted) if isinstance(fitted, Misfit) else None

    def keep_misfit(self) -> str | None:
        """Where no answer fits the schema, keep the last that there was; why it does not fit."""
        if self.taken is not None or self._misfit is None:
            return None
        self.taken = self._misfit.answer
        return self._misfit.why


def _what_is_wrong(answer: Answer, missing: Sequence[Citation]) -> str | None:
    """What the root model is told of quotes that are not in the input, or that it has not given."""
    if not answer.quotes:
        return prompts.render("no_quotes", submit=SUBMIT)
    if not missing:
        return None
    listed = "\n".join(f"- {citation.quote[:_MOST_QUOTED]!r}: {citation.why or 'not found'}" for citation in missing)
    return prompts.render("quotes_not_found", quotes=listed, submit=SUBMIT)


def _does_not_fit(misfit: Misfit) -> str:
    return prompts.render("does_not_fit", why=misfit.why)


def as_answer(answer: object) -> Answer:
    """Text as it is; what a model gave as a JSON value instead, as JSON."""
    if isinstance(answer, str):
        return Answer(answer)
    return Answer(json.dumps(answer, ensure_ascii=False), is_json=True)
