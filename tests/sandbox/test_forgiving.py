"""Cells that forget `await`, or were written for threads, in a real session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Make
    from .fakes import Answering, Notebook

    type Shown = Callable[[str], str]


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("print(llm_query('a'))", "re: a\n"),
        ("r = llm_query('a')\nprint(r['response'], r.upper())", "re: a RE: A\n"),
        ("llm_query('a')['response'].replace('re', 'x')", "'x: a'\n"),
        ("import json\njson.loads(llm_query('a', schema={'type': 'object'}))", "{'n': 4}\n"),
        ("print(f'<{llm_query(\"a\")}>')", "<re: a>\n"),
        ("if 're' in llm_query('a'): print('yes')", "yes\n"),
        ("for r in llm_batch(['a', 'b'])['responses']: print(r)", "re: a\nre: b\n"),
        ("[llm_query(p)['response'] for p in 'ab']", "['re: a', 're: b']\n"),
        ("', '.join(llm_query(p) for p in 'ab')", "'re: a, re: b'\n"),
        ("{p: llm_query(p) for p in 'ab'}", "{'a': 're: a', 'b': 're: b'}\n"),
        ("sorted({llm_query(p) for p in 'ab'})", "['re: a', 're: b']\n"),
        ("list(map(llm_query, 'ab'))", "['re: a', 're: b']\n"),
        ("async def ask(p):\n    return llm_query(p).strip()\nawait ask('a')", "'re: a'\n"),
        ("def ask(p):\n    r = llm_query(p)\n    return r['response']\n[ask(p) for p in 'ab']", "['re: a', 're: b']\n"),
        ("def ask(p):\n    r = await llm_query(p)\n    return r['response']\nask('a')", "'re: a'\n"),
        ("def main():\n    print(llm_query('a'))\nif __name__ == '__main__':\n    main()", "re: a\n"),
        ("await llm_query('a')['response']", "'re: a'\n"),
        ("import asyncio\ntasks = [llm_query(p) for p in 'ab']\nawait asyncio.gather(*tasks)", "['re: a', 're: b']\n"),
    ],
)
def test_a_forgotten_await_is_put_in(shown: Shown, code: str, output: str) -> None:
    assert shown(code) == output


@pytest.mark.parametrize(
    "code",
    [
        "[llm_query(p) for p in 'abc']",
        "[llm_query(p)['response'] for p in 'abc']",
        "'\\n'.join(llm_query(p) for p in 'abc')",
        "{p: llm_query(p) for p in 'abc'}",
        "list(map(llm_query, 'abc'))",
        "import asyncio\nasyncio.run(asyncio.gather(*[llm_query(p) for p in 'abc']))",
        (
            "from concurrent.futures import ThreadPoolExecutor\n"
            "def ask(p):\n    return llm_query(p)['response']\n"
            "with ThreadPoolExecutor(max_workers=3) as pool:\n    list(pool.map(ask, 'abc'))"
        ),
        "import concurrent.futures as cf\npool = cf.ThreadPoolExecutor()\nlist(pool.map(llm_query, 'abc'))",
        (
            "from concurrent.futures import ThreadPoolExecutor, as_completed\n"
            "with ThreadPoolExecutor() as pool:\n"
            "    futures = [pool.submit(llm_query, p) for p in 'abc']\n"
            "    [future.result() for future in as_completed(futures)]"
        ),
        (
            "from concurrent.futures import ThreadPoolExecutor\n"
            "def main():\n    with ThreadPoolExecutor() as pool:\n"
            "        return list(pool.map(lambda p: llm_query(p), 'abc'))\nmain()"
        ),
    ],
)
def test_calls_that_could_run_side_by_side_do(calls: Answering, make: Make, code: str) -> None:
    result = make().run(code)
    assert result.outcome == "ok", result.output
    assert max(calls.together) == 3


def test_results_come_in_the_order_of_what_was_mapped(shown: Shown) -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def ask(n):\n    return (n, len(llm_query('x' * n)))\n"
        "with ThreadPoolExecutor() as pool:\n    found = list(pool.map(ask, [3, 1, 2]))\nfound"
    )
    assert shown(code) == "[(3, 7), (1, 5), (2, 6)]\n"


def test_an_executor_runs_plain_functions_and_keeps_their_errors(shown: Shown) -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as pool:\n"
        "    good, bad = pool.submit(len, 'abc'), pool.submit(int, 'x')\n"
        "print(good.result(), list(pool.map(len, ['a', 'bc'])))\n"
        "bad.result()"
    )
    output = shown(code)
    assert output.startswith("3 [1, 2]\n")
    assert output.endswith("ValueError: invalid literal for int() with base 10: 'x'\n")


def test_a_failed_call_is_the_error_of_its_future(shown: Shown) -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as pool:\n"
        "    future = pool.submit(llm_query, 'fail')\nprint(repr(future.exception()))\nfuture.result()"
    )
    output = shown(code)
    assert output.startswith("LLMError('no luck with fail')\n")
    assert output.endswith("LLMError: no luck with fail\n")


def test_the_end_of_an_executor_waits_for_what_it_was_given(shown: Shown) -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor\nheard = []\n"
        "def ask(p):\n    heard.append(llm_query(p).upper())\n"
        "with ThreadPoolExecutor() as pool:\n    for p in 'ab':\n        pool.submit(ask, p)\nheard"
    )
    assert shown(code) == "['RE: A', 'RE: B']\n"


def test_futures_and_executors_of_an_earlier_cell_can_be_waited_for(shown: Shown) -> None:
    shown(
        "from concurrent.futures import ThreadPoolExecutor\nlater = ThreadPoolExecutor()\nfuture = later.submit(llm_query, 'a')"
    )
    assert shown("future.result(), list(later.map(llm_query, 'bc'))") == "('re: a', ['re: b', 're: c'])\n"


def test_a_future_that_cannot_be_waited_for_says_what_to_write(shown: Shown) -> None:
    code = "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor()\n"
    output = shown(code + "sorted('a', key=lambda p: pool.submit(llm_query, p).result())")
    assert "use `await llm_batch(prompts)` or `asyncio.gather`" in output


def test_to_thread_takes_async_functions(shown: Shown) -> None:
    code = "import asyncio\ndef ask(p):\n    return llm_query(p).strip()\n"
    assert shown(code + "await asyncio.gather(*[asyncio.to_thread(ask, p) for p in 'ab'])") == "['re: a', 're: b']\n"


@pytest.mark.parametrize(
    "code",
    [
        "import multiprocessing\nmultiprocessing.Pool(2)",
        "from multiprocessing import Pool",
        "from multiprocessing.pool import ThreadPool",
        "from multiprocessing.dummy import Pool",
    ],
)
def test_processes_are_refused_with_advice(shown: Shown, code: str) -> None:
    assert "there are no other processes in this sandbox: use `await llm_batch(prompts)`" in shown(code)


@pytest.mark.parametrize(
    "code",
    [
        "import nest_asyncio\nnest_asyncio.apply()\nasyncio.run(asyncio.sleep(0, 3))",
        "asyncio.get_event_loop().run_until_complete(asyncio.sleep(0, 3))",
        (
            "loop = asyncio.new_event_loop()\nasyncio.set_event_loop(loop)\nx = loop.run_until_complete(asyncio.sleep(0, 3))\n"
            "loop.close()\nx"
        ),
        "def main():\n    return asyncio.run(asyncio.sleep(0, 3))\nmain()",
    ],
)
def test_loops_that_are_run_are_awaited(shown: Shown, code: str) -> None:
    assert shown("import asyncio\n" + code) == "3\n"


def test_a_function_made_async_in_one_cell_is_awaited_in_later_ones(shown: Shown) -> None:
    shown("def made(p):\n    return llm_query(p)['response']")
    assert shown("[made(p).upper() for p in 'ab']") == "['RE: A', 'RE: B']\n"
    shown("def made_of_made(p):\n    return made(p) + '!'")
    shown("alias = made_of_made")
    assert shown("print(alias('c'))") == "re: c!\n"
    assert shown("import asyncio\nawait asyncio.gather(*[made(p) for p in 'ab'])") == "['re: a', 're: b']\n"


def test_a_function_made_async_that_is_used_unawaited_says_so(shown: Shown) -> None:
    shown("def made_too(p):\n    return llm_query(p).strip()")
    output = shown("max('ab', key=made_too)")
    assert "TypeError" in output
    assert "Functions that call a model are async here" in output
    assert "made_too" in output


def test_what_was_awaited_already_can_be_awaited_again(shown: Shown) -> None:
    shown("tasks = [llm_query(p) for p in 'ab']\nbatch = llm_batch(['a', 'fail'])")
    assert shown("import asyncio\nawait asyncio.gather(*tasks)") == "['re: a', 're: b']\n"
    assert shown("await asyncio.gather(*batch)") == "['re: a', <call 1 failed: no luck with fail>]\n"
    assert shown("len(await batch)") == "2\n"


def test_a_name_that_an_earlier_cell_took_is_left_alone(session: Notebook) -> None:
    session.run("def llm_query(p): return [p]")
    assert session.run("llm_query('a')[0]").output == "'a'\n"


def test_another_name_for_a_function_of_the_session_is_known(shown: Shown) -> None:
    shown("other_name = llm_query")
    assert shown("print(other_name('a'))") == "re: a\n"


def test_an_answer_used_where_it_cannot_be_awaited_says_what_to_write(shown: Shown) -> None:
    output = shown("print('not run')\nbest = max('ab', key=lambda p: len(llm_query(p)))")
    assert output.endswith(
        "SyntaxError: llm_query(...) must be awaited, and a lambda cannot: write an `async def` with "
        "`await llm_query(...)` instead\n"
    )
    assert "line 2\n    best = max(" in output
    assert "not run" not in output


@pytest.mark.parametrize(
    "use", ["print(r)", "r['response']", "r.strip()", "'a' + r", "r + 'a'", "f'{r}'", "if r: pass", "len(r)"]
)
def test_what_no_await_could_be_put_to_says_what_to_write(shown: Shown, use: str) -> None:
    shown("class Asker:\n    def ask(self, p):\n        return llm_query(p)")
    assert "llm_query(...) was not awaited: write `await llm_query(...)`" in shown(f"r = Asker().ask('x')\n{use}")


def test_a_library_that_gets_what_was_not_awaited_says_what_to_write(shown: Shown) -> None:
    shown("class Maker:\n    def ask(self, p):\n        return llm_query(p)")
    assert "A call was not awaited: write `await llm_query(...)`" in shown("import json\njson.loads(Maker().ask('x'))")


def test_tracebacks_keep_their_lines_where_awaits_were_put_in(shown: Shown) -> None:
    output = shown("def divide(p):\n    r = llm_query(p)\n    return len(r) / 0\n\nxs = [divide(p)\n      for p in 'ab']")
    assert "line 5, in <module>\n    xs = [divide(p)" in output
    assert "line 3, in divide\n    return len(r) / 0" in output
    assert "__rlm" not in output


def test_a_cell_that_was_mended_stops_when_its_time_is_up(session: Notebook) -> None:
    result = session.run("def spin():\n    llm_query('a')\n    while True: pass\nkept = 1\nspin()")
    assert result.outcome == "timeout"
    assert session.run("kept").output == "1\n"
