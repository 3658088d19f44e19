"""`rlm_query` as cells see it: child runs with a session of their own, or questions to a model where there may be none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .calls import MOST_PROMPT_CHARACTERS, NotAwaited, text_of
from .corpus import Corpus
from .jsontext import encode
from .lazytext import LazyText

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeGuard

    from .calls import Calls

MOST_QUESTION_CHARACTERS = 100_000
"""Of the question of a child run: its root model reads it whole."""

_MOST_SHARE = 0.8
_LARGE = 100_000
_BETWEEN = "\n\n"


class Runs:
    """Starts child runs for the cells of one session."""

    def __init__(self, calls: Calls, context: object, warn: Callable[[str], object], *, children: bool) -> None:
        """`context` is the session's own; where there are no `children`, a model is asked. `warn` takes a line."""
        self._calls = calls
        self._own = context
        self._warn = warn
        self._children = children

    def query(self, question: str, context: object = None) -> NotAwaited:
        """Have a question answered by a run of its own: `r = await rlm_query("Which errors?", context=part)`.

        It has a model that writes code, and `context` as its variable: a text, or what JSON can hold. The result is as that of
        `llm_query`; `r.data` is the value where the answer is JSON.
        """
        made = self._request("question", question, context)
        self._warn_of(1, context)
        return NotAwaited("rlm_query", lambda: self._calls.ask(made))

    def batch(self, questions: object, contexts: object = None, *, context: object = None) -> NotAwaited:
        """Have many questions answered side by side, in order: `rs = await rlm_query_batch("Which errors?", contexts=parts)`.

        `questions` is a list, or one question for all `contexts`; `context` is one context for all questions. Instead of both,
        `questions` may hold pairs of question and context, or dicts of these.
        """
        pairs = _pairs(questions, contexts, context)
        made = [self._request(f"questions[{index}]", *pair) for index, pair in enumerate(pairs)]
        for _, each in pairs:
            if self._warn_of(len(pairs), each):
                break
        return NotAwaited("rlm_query_batch", lambda: self._calls.ask_all(made))

    def _request(self, name: str, question: object, context: object) -> dict[str, object]:
        """Check the arguments of one. Raises TypeError or ValueError that says what is wrong."""
        asked = text_of(name, question)
        if not self._children:
            return {"prompt": _prompt(asked, context)}
        if len(asked) > MOST_QUESTION_CHARACTERS:
            message = (
                f"{name} has {len(asked):,} characters, and the child's model would read all of it: ask in a few sentences, and"
                " give the text as context=..."
            )
            raise ValueError(message)
        return {"prompt": asked, "kind": "run", "payload": self._payload(context)}

    def _payload(self, context: object) -> str:
        """The context of a child as the host takes it; one that the host has is named, not sent."""
        if context is None:
            return "{}"
        if context is self._own:
            return '{"whole": true}'
        if isinstance(context, LazyText):
            return encode({"document": context.document})
        value = dict(context.items()) if isinstance(context, Corpus) else context
        payload = encode({"value": value})
        if len(payload) > MOST_PROMPT_CHARACTERS:
            message = (
                f"context has {len(payload):,} characters as JSON; at most {MOST_PROMPT_CHARACTERS:,} can be given to a child"
                " run, but for `context` itself: give a smaller part"
            )
            raise ValueError(message)
        return payload

    def _warn_of(self, count: int, context: object) -> bool:
        """Say so where a child is given most of all there is: usually it is meant for a part."""
        whole, part = _size(self._own), _size(context)
        if not self._children or whole < _LARGE or part <= _MOST_SHARE * whole:
            return False
        who = "the child run" if count == 1 else "a child run"
        self._warn(f"Note: {who} is given {min(1.0, part / whole):.0%} of `context`, and has to do all the work again;")
        self._warn(" a part of it would do better.\n")
        return True


def _pairs(questions: object, contexts: object, context: object) -> list[tuple[object, object]]:
    """Each question with its context. Raises TypeError or ValueError that says how to give them."""
    if contexts is not None and context is not None:
        message = "give contexts, one for each question, or context, one for all; not both"
        raise ValueError(message)
    if contexts is not None and not _is_many(contexts):
        context, contexts = contexts, None
    if _is_many(contexts):
        parts = list(contexts)
        asked = [questions] * len(parts) if isinstance(questions, str) else _listed(questions)
        if len(asked) != len(parts):
            message = f"there are {len(asked):,} questions and {len(parts):,} contexts: give one context for each question"
            raise ValueError(message)
        return list(zip(asked, parts, strict=True))
    return [_pair(index, item, context) for index, item in enumerate(_listed(questions))]


def _pair(index: int, item: object, context: object) -> tuple[object, object]:
    match item:
        case str():
            return item, context
        case (question, own) if context is None:
            return question, own
        case {"question": question, **rest} if context is None and set(rest) <= {"context"}:
            return question, rest.get("context")
    message = f"questions[{index}] must be a str, a pair (question, context), or a dict with these, not {type(item).__name__}"
    raise TypeError(message)


def _listed(questions: object) -> list[object]:
    if _is_many(questions):
        return list(questions)
    message = f"questions must be a list, or a str where contexts is a list, not {type(questions).__name__}"
    raise TypeError(message)


def _is_many(value: object) -> TypeGuard[Iterable[object]]:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | LazyText | NotAwaited)


def _size(context: object) -> int:
    """About how many characters a context has, where that is known without looking at it."""
    if isinstance(context, str):
        return len(context)
    if isinstance(context, LazyText):
        return context.size
    return sum(context.sizes.values()) if isinstance(context, Corpus) else 0


def _prompt(question: str, context: object) -> str:
    """The one prompt that stands for a child where there may be none. Raises ValueError if it is too long for one."""
    size = _size(context)
    text = _whole(context) if size <= MOST_PROMPT_CHARACTERS else ""
    size = max(size, len(text))
    if size + len(question) + len(_BETWEEN) > MOST_PROMPT_CHARACTERS:
        message = (
            f"context has {size:,} characters; there can be no further child run below this one, so it would go in one prompt,"
            f" and at most {MOST_PROMPT_CHARACTERS:,} fit: cut it with chunks(), and use llm_batch"
        )
        raise ValueError(message)
    return f"{question}{_BETWEEN}{text}" if text else question


def _whole(context: object) -> str:
    """A context as text."""
    if context is None:
        return ""
    if isinstance(context, str):
        return str.__str__(context)
    if isinstance(context, LazyText):
        return context[:]
    return encode({name: text[:] for name, text in context.items()} if isinstance(context, Corpus) else context)
