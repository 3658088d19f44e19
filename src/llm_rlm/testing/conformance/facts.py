"""What a session does: one fact, one name. A fact is a function that raises `NotSoError` where it does not hold."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from llm_rlm.sandbox import MissingVariableError, NotAnAnswerError, Offer

from .subject import HELD, Echo

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_rlm.sandbox import CellResult

    from .subject import Maker, Sandbox

type Fact = Callable[[Bench], None]

_SOON = 30.0
"""Seconds that a machine which does other things too may take for what is done at once."""


class NotSoError(Exception):
    """A fact does not hold. The text says what was seen."""


class Bench:
    """One sandbox, and what facts ask of it."""

    def __init__(self, make: Maker, *, cell_limit: float = 20.0, output_limit: int = 4096) -> None:
        """Start the sandbox."""
        self.calls = Echo()
        self.sandbox: Sandbox = make(Offer(), self.calls, cell_limit=cell_limit, output_limit=output_limit)
        self._last = 0

    def run(self, code: str, on_output: Callable[[str], None] | None = None) -> CellResult:
        """Run a cell."""
        self._last += 1
        return self.sandbox.run_cell(self._last, code, on_output)

    def shows(self, code: str, output: str) -> None:
        """The cell shows this and nothing else."""
        same("what it shows", self.run(code).output, output)

    def says(self, code: str, *parts: str) -> None:
        """What the cell shows has these in it."""
        shown = self.run(code).output
        for part in parts:
            if part not in shown:
                message = f"it shows {shown!r}, without {part!r}"
                raise NotSoError(message)

    def ends(self, code: str, outcome: str) -> CellResult:
        """The cell has this outcome."""
        result = self.run(code)
        same("the outcome", result.outcome, outcome)
        return result


def same(what: str, seen: object, wanted: object) -> None:
    """Raise NotSoError unless the two are equal."""
    if seen != wanted:
        message = f"{what}: {seen!r}, not {wanted!r}"
        raise NotSoError(message)


def name_of(fact: Fact) -> str:
    """The name of a fact as a sentence."""
    return fact.__name__.replace("_", " ")


def check(make: Maker) -> dict[str, str | None]:
    """Look at every fact, each in a sandbox of its own: None where it holds, else what was seen."""
    return {name_of(fact): _problem(fact, make) for fact in FACTS}


def hold(fact: Fact, make: Maker) -> None:
    """Raise NotSoError if a fact does not hold."""
    bench = Bench(make, cell_limit=_LIMITS.get(fact, 20.0))
    try:
        fact(bench)
    finally:
        bench.sandbox.close()


def _problem(fact: Fact, make: Maker) -> str | None:
    try:
        hold(fact, make)
    except NotSoError as problem:
        return str(problem)
    except Exception as problem:  # noqa: BLE001 - whatever a sandbox raises, the other facts are looked at
        return f"{type(problem).__name__}: {problem}"
    return None


# State


def variables_functions_and_imports_live_on(bench: Bench) -> None:
    """From cell to cell."""
    bench.shows("import math\nkept = 41\ndef double(n): return 2 * n", "")
    bench.shows("kept + 1, double(4), math.floor(2.5)", "(42, 8, 2)\n")


def functions_see_globals_that_come_later(bench: Bench) -> None:
    """As in any module."""
    bench.run("def see(): return later")
    bench.shows("later = 'there'\nsee()", "'there'\n")


def what_ran_before_an_error_stays(bench: Bench) -> None:
    """An error undoes nothing."""
    bench.ends("before = 1\n1 / 0\nafter = 2", "error")
    bench.shows("before, 'after' in globals()", "(1, False)\n")


def an_exit_ends_the_cell_and_not_the_session(bench: Bench) -> None:
    """`sys.exit` is an outcome like any other."""
    bench.ends("import sys\nkept = 3\nsys.exit(2)", "exit")
    bench.shows("kept", "3\n")


def a_cell_that_runs_too_long_keeps_its_variables(bench: Bench) -> None:
    """It is stopped, and says so."""
    result = bench.ends("kept = 0\nwhile True: kept += 1", "timeout")
    if "TimeoutError: stopped after" not in result.output:
        message = f"it shows {result.output!r}"
        raise NotSoError(message)
    bench.shows("kept > 1", "True\n")


def a_cell_that_is_interrupted_keeps_its_variables(bench: Bench) -> None:
    """Also one that waits."""
    timer = threading.Timer(0.3, bench.sandbox.interrupt, ["stopped by the user"])
    timer.start()
    result = bench.ends(f"kept = 1\nawait llm_query('{HELD}')", "interrupted")
    timer.join()
    if "stopped by the user" not in result.output:
        message = f"it shows {result.output!r}"
        raise NotSoError(message)
    bench.shows("kept", "1\n")


def an_interpreter_that_ends_is_replaced_with_its_variables(bench: Bench) -> None:
    """By running the finished cells again, their calls answered as before and paid once."""
    bench.run("kept = [1, 2]\npaid = str(await llm_query('paid'))")
    result = bench.ends("import os\nos._exit(3)", "lost")
    if not any("kept" in note for note in result.notes):
        message = f"the variables that are back are not named: {result.notes}"
        raise NotSoError(message)
    bench.shows("kept, paid", "([1, 2], 're: paid')\n")
    same("calls that were paid", bench.calls.asked, 1)


def what_a_cell_breaks_in_the_language_is_whole_in_the_next(bench: Bench) -> None:
    """Builtins, streams, tracing."""
    bench.run("import builtins, sys\nbuiltins.len = builtins.print = None\nsys.stdout = None\nsys.settrace(lambda *a: 1 / 0)")
    bench.shows("print(len('abc'))", "3\n")


# What is shown


def the_value_of_the_last_expression_is_shown_once(bench: Bench) -> None:
    """And evaluated once."""
    bench.shows("seen = []\nseen.append(1) or len(seen)", "1\n")
    bench.shows("len(seen)", "1\n")


def none_is_not_shown_and_the_last_value_is_in_underscore(bench: Bench) -> None:
    """As in a REPL."""
    bench.shows("None", "")
    bench.shows("6 * 7", "42\n")
    bench.shows("_ + 1", "43\n")


def stdout_and_stderr_come_in_the_order_they_were_written(bench: Bench) -> None:
    """One stream to the reader."""
    bench.shows("import sys\nprint(1)\nprint(2, file=sys.stderr)\nprint(3)\n4", "1\n2\n3\n4\n")


def a_traceback_shows_lines_and_their_source(bench: Bench) -> None:
    """Also of functions of earlier cells."""
    bench.run("def divide(a):\n    return a / 0")
    bench.says("x = 1\ndivide(x)", "line 2, in <module>\n    divide(x)", "line 2, in divide\n    return a / 0")
    bench.says("divide(2)", "ZeroDivisionError: division by zero\n")


def a_syntax_error_names_its_line_and_nothing_of_the_cell_runs(bench: Bench) -> None:
    """It is found before."""
    bench.says("ran = 1\ny = = 2", "line 2", "SyntaxError")
    bench.shows("'ran' in globals()", "False\n")


def an_exception_that_cannot_be_shown_is_named(bench: Bench) -> None:
    """Whatever its own methods do."""
    bench.says("class Mute(Exception):\n    def __str__(self): raise SystemExit\nraise Mute", "Mute")


def long_output_is_cut_in_the_middle_and_its_length_is_said(bench: Bench) -> None:
    """Head and tail are kept."""
    result = bench.run("print('a' * 100_000 + 'z')")
    same("characters in all", result.total, 100_002)
    same("head and tail", (result.output[:3], result.output[-3:]), ("aaa", "az\n"))
    if "of 100,002 characters not shown" not in result.output:
        message = f"it does not say how much there was: {result.output[2000:2100]!r}"
        raise NotSoError(message)


def output_is_handed_on_while_the_cell_runs(bench: Bench) -> None:
    """Line by line."""
    heard: list[str] = []
    bench.run("print('first')\nawait llm_query('x')\nprint('second')", heard.append)
    same("what was heard", heard, ["first\n", "second\n"])


def lone_surrogates_are_shown_as_escapes(bench: Bench) -> None:
    """What cannot be encoded does not fail."""
    bench.shows("print('a\\ud800b')", "a\\ud800b\n")


def variables_that_a_cell_made_are_reported(bench: Bench) -> None:
    """With type and length, and without those that begin with an underscore."""
    result = bench.run("made = [1, 2, 3]\n_private = 1")
    same("the variables", [str(variable) for variable in result.variables], ["made list[3]"])


# Reading


def input_is_at_its_end(bench: Bench) -> None:
    """Nobody types."""
    bench.says("input('? ')", "EOFError")
    bench.shows("import sys\nsys.stdin.read()", "''\n")


def await_works_at_top_level(bench: Bench) -> None:
    """And tasks run side by side."""
    code = "import asyncio\nasync def double(n):\n    await asyncio.sleep(0)\n    return 2 * n\n"
    bench.shows(f"{code}await asyncio.gather(*map(double, range(3)))", "[0, 2, 4]\n")


def threads_and_processes_are_refused_with_an_error(bench: Bench) -> None:
    """And not by silence."""
    bench.ends("import threading\nthreading.Thread(target=print).start()", "error")
    bench.ends("import subprocess\nsubprocess.run(['true'])", "error")


# Calls and values


def a_call_is_answered_and_a_batch_keeps_its_order(bench: Bench) -> None:
    """As text and by key."""
    bench.shows("r = await llm_query('a')\nprint(r, r['response'])", "re: a re: a\n")
    bench.shows(
        "rs = await llm_batch([str(n) for n in range(40)])\n[str(r) for r in rs] == [f're: {n}' for n in range(40)]", "True\n"
    )


def a_cell_does_not_run_while_it_waits(bench: Bench) -> None:
    """Its time is its own."""
    result = bench.run(f"import asyncio\ntry: await asyncio.wait_for(llm_query('{HELD}'), 1.5)\nexcept TimeoutError: pass")
    if result.seconds < 1.5 or result.running > result.seconds - 1:  # noqa: PLR2004 - as above
        message = f"it ran {result.running} s in {result.seconds} s, of which it waited 1.5 s"
        raise NotSoError(message)


def a_variable_can_be_had_as_text_or_as_json(bench: Bench) -> None:
    """Of any size, as it is."""
    bench.run("text = 'x' * 5_000_000\ndata = {'n': [1, None, 'é']}")
    same("characters", len(bench.sandbox.value("text").text), 5_000_000)
    same("the value", bench.sandbox.value("data").value, {"n": [1, None, "é"]})


def a_variable_that_is_missing_or_no_answer_is_an_error_that_can_be_mended(bench: Bench) -> None:
    """It names those that there are."""
    bench.run("there = 1\nnone = object()")
    for name, error in (("absent", MissingVariableError), ("none", NotAnAnswerError)):
        try:
            bench.sandbox.value(name)
        except error:
            continue
        message = f"{name}: no {error.__name__}"
        raise NotSoError(message)


def what_is_submitted_comes_with_the_result(bench: Bench) -> None:
    """With its quotes."""
    submitted = bench.run("submit({'n': 1}, quotes=['q'])").submitted
    same("the answer", submitted and (submitted.value, submitted.quotes), ({"n": 1}, ("q",)))


def closing_ends_a_cell_that_runs(bench: Bench) -> None:
    """Soon, and by an error to whoever waits for it."""
    ended: list[Exception] = []

    def run() -> None:
        try:
            bench.run(f"await llm_query('{HELD}')")
        except Exception as problem:  # noqa: BLE001 - which it is, is what is looked at
            ended.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.5)
    bench.sandbox.close()
    thread.join(_SOON)
    same("how it ended", [type(problem).__name__ for problem in ended], ["SandboxError"])


FACTS: tuple[Fact, ...] = tuple(
    value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__annotations__", {}).keys() == {"bench", "return"}
)
"""All of them."""

_LIMITS: dict[Fact, float] = {a_cell_that_runs_too_long_keeps_its_variables: 0.5}
