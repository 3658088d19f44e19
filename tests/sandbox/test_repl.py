"""What a cell sees of its session: a Python REPL that can call models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .fakes import Notebook

    type Shown = Callable[[str], str]


def test_state_lives_on_between_cells(shown: Shown) -> None:
    shown("kept = 41")
    assert shown("kept + 1") == "42\n"


def test_the_value_of_the_last_expression_is_shown_once(shown: Shown) -> None:
    assert shown("echoed = []\nechoed.append(1) or len(echoed)") == "1\n"
    assert shown("len(echoed)") == "1\n"


def test_none_is_not_shown(shown: Shown) -> None:
    assert shown("None") == ""


def test_stdout_and_stderr_come_in_the_order_they_were_written(shown: Shown) -> None:
    assert (
        shown("import sys\nprint(1)\nprint(2, file=sys.stderr)\nsys.stdout.buffer.write(b'3\\n')\nprint(4)") == "1\n2\n3\n4\n"
    )


def test_a_traceback_has_line_numbers_and_source_lines_and_nothing_of_the_driver(shown: Shown) -> None:
    output = shown("def divide(a):\n    return a / 0\n\ndivide(7)")
    assert "line 4, in <module>\n    divide(7)" in output
    assert "line 2, in divide\n    return a / 0" in output
    assert output.endswith("ZeroDivisionError: division by zero\n")
    assert "rlm" not in output


def test_a_traceback_shows_the_source_of_functions_of_earlier_cells(shown: Shown) -> None:
    shown("def earlier(a):\n    return a['missing']")
    assert "return a['missing']" in shown("earlier({})")


def test_assignments_before_an_error_stay(shown: Shown) -> None:
    assert "ZeroDivisionError" in shown("before_error = 5\n1 / 0")
    assert shown("before_error") == "5\n"


def test_a_syntax_error_names_its_line(shown: Shown) -> None:
    output = shown("x = 1\ny = = 2")
    assert "line 2" in output
    assert "SyntaxError" in output


def test_code_with_a_nul_is_a_syntax_error(shown: Shown) -> None:
    assert "SyntaxError" in shown("x = 1\0")


def test_an_expression_of_many_hundred_parts_is_refused_with_advice(shown: Shown) -> None:
    assert "nested too deeply" in shown("+".join(["1"] * 800))


def test_await_works_at_top_level_and_gather_runs_tasks(shown: Shown) -> None:
    code = "import asyncio\nasync def double(n):\n    await asyncio.sleep(0)\n    return 2 * n\n"
    assert shown(code + "await asyncio.gather(*[asyncio.create_task(double(n)) for n in range(3)])") == "[0, 2, 4]\n"


def test_asyncio_run_works_at_top_level_and_in_async_functions(shown: Shown) -> None:
    code = "import asyncio\nasync def inner(): return 3\nasync def outer(): return asyncio.run(inner())\n"
    assert shown(code + "asyncio.run(outer())") == "3\n"


def test_asyncio_run_in_a_function_that_cannot_await_says_what_to_write(shown: Shown) -> None:
    code = "import asyncio\nasync def work(): return 3\nplain = lambda: asyncio.run(work())\n"
    assert "Make the function `async def` and `await` it" in shown(code + "plain()")


def test_system_exit_ends_the_cell_and_not_the_session(shared: Notebook) -> None:
    result = shared.run("import sys\nat_exit = 8\nsys.exit(3)")
    assert result.outcome == "exit"
    assert result.output == "SystemExit: 3 (the session and its variables go on)\n"
    assert shared.run("at_exit").output == "8\n"


@pytest.mark.parametrize("code", ["raise SystemExit(10 ** 5000)", "raise SystemExit(Broken())", "raise BrokenError"])
def test_an_exception_that_cannot_be_shown_is_named(shared: Notebook, code: str) -> None:
    broken = (
        "class Broken:\n    def __str__(self): 1 / 0\nclass BrokenError(Exception):\n    def __str__(self): raise SystemExit\n"
    )
    result = shared.run(broken + code)
    assert result.outcome in {"exit", "error"}
    assert "it cannot be shown" in result.output or "<exception str() failed>" in result.output


def test_exit_in_a_task_is_the_exit_of_who_awaits_it(shared: Notebook) -> None:
    result = shared.run("import asyncio, sys\nasync def leave(): sys.exit(4)\nawait asyncio.create_task(leave())")
    assert result.outcome == "exit"
    assert shared.run("'alive'").output == "'alive'\n"


def test_an_exception_nobody_retrieves_is_shown(shown: Shown) -> None:
    code = (
        "import asyncio, gc\nasync def bad(): 1 / 0\nlost = asyncio.create_task(bad())\nawait asyncio.sleep(0.01)\ndel lost\n"
    )
    output = shown(code + "gc.collect() and None")
    assert output == "Task exception was never retrieved\nZeroDivisionError: division by zero\n"


def test_input_raises_eoferror_and_stdin_is_empty(shown: Shown) -> None:
    assert "EOFError" in shown("input('name? ')")
    assert shown("import sys\nlist(sys.stdin)") == "[]\n"


def test_threads_are_refused_with_advice(shown: Shown) -> None:
    assert "there are no threads in this sandbox: use `await llm_batch" in shown("import threading\nthreading.Thread().start()")


def test_functions_see_globals_that_come_later(shown: Shown) -> None:
    shown("def see():\n    return seen_later\nclass Holder:\n    def get(self): return see()")
    assert shown("seen_later = 'there'\nHolder().get()") == "'there'\n"


def test_global_assigns_in_the_session(shown: Shown) -> None:
    shown("def count():\n    global counted\n    counted = 12\ncount()")
    assert shown("counted") == "12\n"


def test_the_module_of_a_cell_is_main(shown: Shown) -> None:
    assert shown("__name__") == "'__main__'\n"
    assert "NameError" in shown("__file__")


def test_classes_of_cells_can_be_pickled(shown: Shown) -> None:
    assert shown("import pickle\nclass Pickled: pass\ntype(pickle.loads(pickle.dumps(Pickled()))) is Pickled") == "True\n"


def test_dir_shows_nothing_of_the_driver(shown: Shown) -> None:
    assert shown("[name for name in dir() if 'rlm' in name and not name.startswith('rlm_query') or 'eryx' in name]") == "[]\n"


def test_what_a_task_prints_after_its_cell_is_shown_by_the_next(shown: Shown) -> None:
    code = (
        "import asyncio\nasync def late():\n    await asyncio.sleep(0)\n    print('late')\nlater = asyncio.create_task(late())"
    )
    assert shown(code) == ""
    assert shown("print('now')") == "late\nnow\n"


def test_stdout_can_be_closed_replaced_and_reconfigured_without_harm(shown: Shown) -> None:
    shown("import sys, io\nsys.stdout.reconfigure(encoding='utf-8')\nsys.stdout.close()\nsys.stdout = io.StringIO()")
    assert shown("print('heard', flush=True)") == "heard\n"


def test_lone_surrogates_are_shown_as_escapes(shown: Shown) -> None:
    assert shown("print('a\\ud800b')") == "a\\ud800b\n"


def test_a_random_sample_is_the_same_for_the_same_seed_and_another_for_another(make: Callable[..., Notebook]) -> None:
    code = "import random\nrandom.sample(range(1_000_000), 3)"
    first, second, other = (make(seed=seed).run(code).output for seed in ("a", "a", "b"))
    assert first == second != other


def test_what_must_not_be_guessed_is_not_seeded(make: Callable[..., Notebook]) -> None:
    code = "import os, random, secrets, uuid\nos.urandom(8), secrets.token_hex(8), random.SystemRandom().random(), uuid.uuid4()"
    assert make(seed="a").run(code).output != make(seed="a").run(code).output


def test_variables_that_a_cell_made_are_reported(shared: Notebook) -> None:
    result = shared.run("reported = [1, 2, 3]\n_private = 1\ndef function(): pass")
    assert [str(variable) for variable in result.variables] == ["reported list[3]"]


def test_reporting_variables_runs_no_code_of_the_cell(shared: Notebook) -> None:
    code = "class Sly(list):\n    def __len__(self): 1 / 0\n    __class__ = property(lambda self: 1 / 0)\nsly = Sly()"
    assert [str(variable) for variable in shared.run(code).variables] == ["sly Sly[0]"]


# Output


def test_long_output_is_cut_in_the_middle_and_says_how_long_it_was(make: Callable[..., Notebook]) -> None:
    result = make(output_limit=100).run("print('a' * 1000 + 'z')")
    assert result.output == "a" * 50 + "\n... [902 of 1,002 characters not shown] ...\n" + "a" * 48 + "z\n"
    assert result.total == 1002


def test_output_is_handed_on_while_the_cell_runs(shared: Notebook) -> None:
    heard: list[str] = []
    shared.run("print('first')\nawait llm_query('x')\nprint('second')", heard.append)
    assert heard == ["first\n", "second\n"]


# Calls


def test_a_response_is_text_and_a_dict(shown: Shown) -> None:
    output = shown("r = await llm_query(prompt='hello')\nprint(r)\nprint(r['response'], r.upper(), 'hello' in r)")
    assert output == "re: hello\nre: hello RE: HELLO True\n"


def test_a_schema_gives_data(shown: Shown) -> None:
    assert shown("r = await llm_query('count', schema={'type': 'object'})\nr.data, r['data']['n']") == "({'n': 4}, 4)\n"


def test_a_failed_query_raises_a_short_error(shown: Shown) -> None:
    assert shown("await llm_query('fail this')").endswith("\nLLMError: no luck with fail this\n")


def test_a_batch_keeps_order_and_its_failures_are_falsy_and_raise(shown: Shown) -> None:
    shown("rs = await llm_batch(['a', 'fail b', 'c'])")
    assert shown("[bool(r) for r in rs['responses']], rs[2], [e.index for e in rs.errors]") == (
        "([True, False, True], 're: c', [1])\n"
    )
    assert "LLMError: call 1 of the batch failed: no luck with fail b" in shown("rs[1]['response']")


def test_gather_runs_calls_side_by_side(session: Notebook) -> None:
    code = "import asyncio\nrs = await asyncio.gather(*[llm_query(f'n{i}') for i in range(3)])\nrs"
    assert session.run(code).output == "['re: n0', 're: n1', 're: n2']\n"


def test_a_call_that_ends_a_cell_is_awaited(shown: Shown) -> None:
    assert shown("llm_query('forgotten')") == "'re: forgotten'\n"


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("llm_query(3)", "prompt must be str, not int"),
        ("llm_query(' ')", "prompt is empty"),
        ("llm_batch('abc')", "prompts must be a list of str, not str"),
        ("llm_batch(['a', 1])", "prompts[1] must be str, not int"),
        ("llm_query('a', schema=3)", "schema must be a JSON Schema"),
    ],
)
def test_a_wrong_argument_is_named(shown: Shown, call: str, problem: str) -> None:
    assert problem in shown(f"await {call}")


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("llm_map('abc', 'Which?')", "items must be a list, not str"),
        ("llm_map(['a'], 3)", "instruction must be str, not int"),
        ("llm_map(['a'], 'Which?', labels=['a'], schema='n int')", "give labels or schema, not both"),
        (
            "llm_map(['a'] * 8, 'Which?', per_call=1)",
            "at least 8 calls (8 items, up to 1 a call), and 7 are left",
        ),
    ],
)
def test_a_map_that_cannot_be_says_so_before_anything_is_asked(shown: Shown, call: str, problem: str) -> None:
    assert problem in shown(f"await {call}")


def test_a_map_without_items_is_empty(shown: Shown) -> None:
    assert shown("await llm_map([], 'Which?', labels=['a'])") == "[]\n"


def test_budget_tells_what_is_left(shown: Shown) -> None:
    assert shown("budget()") == "{'calls': 7.0, 'seconds': None}\n"


def test_submit_gives_an_answer_of_any_kind(shared: Notebook) -> None:
    text = shared.run("submit('done')").submitted
    data = shared.run("submit({'n': [1, 2]})").submitted
    assert text is not None
    assert data is not None
    assert (text.text, text.is_json) == ("done", False)
    assert (data.text, data.is_json) == ('{"n": [1, 2]}', True)


def test_submitting_what_is_no_answer_is_an_error_in_the_cell(shared: Notebook) -> None:
    result = shared.run("submit(object())")
    assert result.submitted is None
    assert "object is not JSON" in result.output
