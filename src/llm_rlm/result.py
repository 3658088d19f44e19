"""What comes of a question."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .errors import RLMError

if TYPE_CHECKING:
    from .budget import Usage

type Finish = Literal["submitted", "prose", "limit", "interrupted", "error"]


@dataclass(frozen=True)
class Result:
    """What came of a question: `as_dict` is what `--json` prints."""

    run_id: str
    question: str
    answer: Any
    """Text, or the value itself where it is a list, dict or number; None where there is none."""
    finish: Finish
    limit: dict[str, Any] | None
    error: str | None
    model: str
    sub_model: str
    usage: Usage
    seconds: float
    sources: tuple[dict[str, object], ...] = ()

    @property
    def cost(self) -> float | None:
        """USD, root model and sub-models together; None where a price is not known."""
        return None if self.usage.unpriced else self.usage.cost

    @property
    def text(self) -> str:
        """The answer as text; JSON text where it is not text."""
        return self.answer if isinstance(self.answer, str) else json.dumps(self.answer, ensure_ascii=False, indent=2)

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON can hold it."""
        usage = self.usage
        return {
            "run_id": self.run_id,
            "question": self.question,
            "answer": self.answer,
            "finish": self.finish,
            "limit": self.limit,
            "error": self.error,
            "model": self.model,
            "sub_model": self.sub_model,
            "turns": usage.turns,
            "calls": {
                "total": usage.calls + usage.cached,
                "cached": usage.cached,
                "failed": usage.failed,
                "retried": usage.retried,
                "unsettled": usage.unsettled,
            },
            "usage": {"input": usage.input, "output": usage.output, "cached_input": usage.cached_input},
            "cost": {"usd": self.cost, "known": self.cost is not None, "possible": usage.possible_cost},
            "seconds": round(self.seconds, 3),
            "sources": list(self.sources),
        }


class RunFailedError(RLMError):
    """A run that ended without an answer for a reason no turn could mend; `result` is what there is of it."""

    def __init__(self, result: Result) -> None:
        """The message is the error of the result."""
        super().__init__(result.error or "the run failed")
        self.result = result
