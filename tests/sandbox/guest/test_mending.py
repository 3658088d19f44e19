from __future__ import annotations

import ast
import linecache
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from llm_rlm.sandbox.guest.mending import mender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def mend() -> Iterator[Callable[[], None]]:
    made = mender()
    yield made
    made()


def test_what_was_taken_or_replaced_in_a_module_is_put_back(mend: Callable[[], None]) -> None:
    whole = dict(vars(linecache))
    vars(linecache).clear()
    vars(linecache)["getline"] = None
    mend()
    assert vars(linecache) == whole


def test_what_was_added_to_a_module_stays(mend: Callable[[], None]) -> None:
    added: Any = linecache
    added.of_a_cell = 1
    mend()
    assert vars(linecache).pop("of_a_cell") == 1


def test_a_class_is_as_it_was_without_what_was_added(mend: Callable[[], None]) -> None:
    kind: Any = traceback.TracebackException
    whole = dict(vars(kind))
    kind.format = None
    kind.__eq__ = lambda *_: 1 / 0
    del kind.print
    mend()
    assert dict(vars(kind)) == whole


def test_what_will_not_be_compared_is_replaced(mend: Callable[[], None]) -> None:
    class Unwilling:
        def __eq__(self, other: object) -> bool:
            raise SystemExit

        __hash__ = None  # type: ignore[assignment]

    visitor: Any = ast.NodeVisitor
    whole = visitor.visit
    visitor.visit = Unwilling()
    mend()
    assert visitor.visit is whole


def test_the_code_of_a_function_is_its_own_again(mend: Callable[[], None]) -> None:
    function: Any = traceback.format_exception_only
    code = function.__code__
    function.__code__ = (lambda *_: "other").__code__
    mend()
    assert function.__code__ is code


def test_modules_are_those_that_were_loaded(mend: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    every = sys.modules
    monkeypatch.setitem(sys.modules, "traceback", ast)
    monkeypatch.setattr(sys, "modules", {})
    mend()
    assert sys.modules is every
    assert every["traceback"] is traceback
