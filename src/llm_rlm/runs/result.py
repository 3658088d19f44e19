"""What comes of a question."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from llm_rlm.errors import RLMError, amount
from llm_rlm.journal import sound

if TYPE_CHECKING:
    from llm_rlm.budget import Usage
    from llm_rlm.journal.history import PastRun

type Finish = Literal["submitted", "prose", "limit", "interrupted", "error"]


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a document was looked at, in bytes."""

    name: str
    size: int
    read: int
    """What code read by name or by helper; all of it where the sandbox held it whole and code named it."""
    sent: int
    """What reached a model, found by matching what models were shown with the document."""
    either: int
    """What one of the two touched."""


@dataclass(frozen=True)
class Coverage:
    """How much of the input was looked at."""

    documents: tuple[Share, ...]
    complete: bool = True
    """Whether there was time to look for all that models were shown; where not, more may have been sent. `read` is known."""

    @property
    def read(self) -> float:
        """The share that code read, from 0 to 1."""
        return self._share(sum(document.read for document in self.documents))

    @property
    def sent(self) -> float:
        """The share that reached a model, from 0 to 1."""
        return self._share(sum(document.sent for document in self.documents))

    @property
    def either(self) -> float:
        """The share that code read or that reached a model, from 0 to 1."""
        return self._share(sum(document.either for document in self.documents))

    @property
    def untouched(self) -> list[str]:
        """The documents of which nothing was read and nothing sent."""
        return [document.name for document in self.documents if not document.either]

    def below(self, least: float) -> list[str]:
        """The documents of which less than this share was touched; none if of all of them together it was enough."""
        if self.either >= least:
            return []
        return [document.name for document in self.documents if document.either < least * document.size]

    def as_dict(self) -> dict[str, Any]:
        """The coverage as JSON can hold it."""
        table = [
            {"name": document.name, "bytes": document.size, "read": document.read, "sent": document.sent}
            for document in self.documents
        ]
        shares = {"read": round(self.read, 4), "sent": round(self.sent, 4), "either": round(self.either, 4)}
        return {**shares, "complete": self.complete, "untouched": self.untouched, "documents": table}

    def _share(self, touched: int) -> float:
        size = sum(document.size for document in self.documents)
        return touched / size if size else 1.0


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
    skipped: tuple[dict[str, str], ...] = ()
    """What was named or found and not read, each with `name` and `reason`."""
    citations: tuple[dict[str, Any], ...] = ()
    """The quotes of the answer, and where they are in the input."""
    coverage: Coverage | None = None
    """None where there was no input, or no time to find it out."""

    @property
    def cost(self) -> float | None:
        """USD, root model and sub-models together; None where a price is not known."""
        return None if self.usage.unpriced else self.usage.cost

    @property
    def text(self) -> str:
        """The answer as text; JSON text where it is not text."""
        return self.answer if isinstance(self.answer, str) else json.dumps(self.answer, ensure_ascii=False, indent=2)

    @property
    def problem(self) -> str | None:
        """Why there is no answer, or none that can be used; None where there is one."""
        if self.answer is not None or self.error is not None:
            return self.error
        if self.limit is not None:
            return f"the limit of {amount(self.limit['kind'], self.limit['limit'])} is reached, and there is no answer yet"
        return "the run was stopped before there was an answer"

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON can hold it."""
        return {
            "run_id": self.run_id,
            "question": self.question,
            "answer": self.answer,
            "finish": self.finish,
            "limit": self.limit,
            "error": self.error,
            "model": self.model,
            "sub_model": self.sub_model,
            **usage_as_dict(self.usage),
            "seconds": round(self.seconds, 3),
            "sources": list(self.sources),
            "skipped": list(self.skipped),
            "citations": list(self.citations),
            "coverage": self.coverage.as_dict() if self.coverage is not None else None,
        }


def usage_as_dict(usage: Usage) -> dict[str, Any]:
    """What was used as JSON can hold it: `turns`, `calls`, `usage`, `cost`."""
    cost = None if usage.unpriced else usage.cost
    return {
        "turns": usage.turns,
        "calls": {
            "total": usage.calls + usage.cached,
            "cached": usage.cached,
            "failed": usage.failed,
            "retried": usage.retried,
            "unsettled": usage.unsettled,
        },
        "usage": {"input": usage.input, "output": usage.output, "cached_input": usage.cached_input},
        "cost": {"usd": cost, "known": cost is not None, "possible": usage.possible_cost},
    }


def result_of(past: PastRun) -> Result:
    """What came of a run of the journal, as far as it came. For one that has ended: else its `finish` is None."""
    answer: Any = past.answer
    if past.answer is not None and past.answer_is_json:
        answer = sound.parsed(past.answer, object)
    sources: list[dict[str, object]] = [
        {"name": document.name, "bytes": document.bytes, "sha256": document.sha256} for document in past.documents
    ]
    hashes = {document.name: document.sha256 for document in past.documents}
    citations = [
        {**row, "found": row["found"] is not None, "how": row["found"], "sha256": hashes.get(row["source"])}
        for row in past.citations
    ]
    return Result(
        run_id=past.id,
        question=past.question or "",
        answer=answer,
        finish=cast("Finish", past.finish),
        limit=dict(past.limit) if past.limit is not None else None,
        error=past.error,
        model=past.model or "",
        sub_model=past.sub_model or "",
        usage=past.usage,
        seconds=past.seconds,
        sources=tuple(sources),
        skipped=tuple(dict(skipped) for skipped in past.skipped),
        citations=tuple(citations),
        coverage=_coverage(past),
    )


def _coverage(past: PastRun) -> Coverage | None:
    """How much of the input was looked at, where that is known."""
    known = [document for document in past.documents if document.touched_bytes is not None]
    if not known:
        return None
    return Coverage(
        tuple(
            Share(each.name, each.bytes, each.read_bytes or 0, each.sent_bytes or 0, each.touched_bytes or 0) for each in known
        ),
        past.coverage_complete,
    )


class RunFailedError(RLMError):
    """A run that ended without an answer for a reason no turn could mend; `result` is what there is of it."""

    def __init__(self, result: Result) -> None:
        """The message is the problem of the result."""
        super().__init__(result.problem or "the run failed")
        self.result = result
