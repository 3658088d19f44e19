from __future__ import annotations

import ast
import asyncio
import builtins
import inspect
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from llm_rlm.sandbox.guest import awaits, clock, source, together
from llm_rlm.sandbox.guest.calls import NotAwaited
from llm_rlm.sandbox.guest.results import Response

from . import programs

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

KNOWN = awaits.Known(frozenset({"llm_query", "llm_batch"}), made=frozenset({"made"}))


def changed(code: str, known: awaits.Known = KNOWN) -> str:
    """The code with its awaits."""
    tree = ast.parse(code)
    awaits.put_in(tree, known)
    return ast.unparse(ast.fix_missing_locations(tree))


def tidy(code: str) -> str:
    return ast.unparse(ast.parse(code))


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("x = llm_query(p)", "x = await llm_query(p)"),
        ("llm_query(p)", "await llm_query(p)"),
        ("x = llm_query(p)['response']", "x = (await llm_query(p))['response']"),
        ("json.loads(llm_query(p))", "json.loads(await llm_query(p))"),
        ("print(f'{llm_query(p)}')", "print(f'{await llm_query(p)}')"),
        ("while 'no' in llm_query(p): pass", "while 'no' in await llm_query(p): pass"),
        ("for r in llm_batch(ps): print(r)", "for r in await llm_batch(ps): print(r)"),
        ("xs.append(llm_query(llm_query(p)))", "xs.append(await llm_query(await llm_query(p)))"),
        ("async def f(): return llm_query(p)", "async def f(): return await llm_query(p)"),
        ("x = {llm_query(p) for p in ps}", "x = {await llm_query(p) for p in ps}"),
        ("x = [y for r in llm_batch(ps) for y in r]", "x = [y for r in await llm_batch(ps) for y in r]"),
        ("def f(x=llm_query(p)): pass", "def f(x=await llm_query(p)): pass"),
        ("x = made(1) + 1", "x = await made(1) + 1"),
        ("x = await llm_query(p)['response']", "x = (await llm_query(p))['response']"),
        ("await (await llm_batch(ps))['responses']", "await (await llm_batch(ps))['responses']"),
    ],
)
def test_a_call_is_awaited_where_that_is_possible(code: str, wanted: str) -> None:
    assert changed(code) == tidy(wanted)


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("x = [llm_query(p) for p in ps]", "x = await __rlm_together__([llm_query(p) for p in ps])"),
        ("x = {p: llm_query(p) for p in ps}", "x = await __rlm_together__({p: llm_query(p) for p in ps})"),
        ("x = list(map(llm_query, ps))", "x = list(await __rlm_together__(map(llm_query, ps)))"),
        ("for r in (llm_query(p) for p in ps): pass", "for r in await __rlm_together__((llm_query(p) for p in ps)): pass"),
        (
            "x = [llm_query(p)['response'].strip() for p in ps if p]",
            (
                "x = [__rlm_item__['response'].strip() "
                "for __rlm_item__ in await __rlm_together__([llm_query(p) for p in ps if p])]"
            ),
        ),
        (
            "x = ' '.join(llm_query(p)['response'] for p in ps)",
            "x = ' '.join([__rlm_item__['response'] for __rlm_item__ in await __rlm_together__([llm_query(p) for p in ps])])",
        ),
        ("x = [made(p) for p in ps]", "x = [await made(p) for p in ps]"),
        ("x = sum(len(llm_query(p)) for p in ps)", "x = sum([len(await llm_query(p)) for p in ps])"),
    ],
)
def test_calls_of_a_comprehension_run_side_by_side_unless_they_run_code_of_the_cell(code: str, wanted: str) -> None:
    assert changed(code) == tidy(wanted)


@pytest.mark.parametrize(
    "code",
    [
        "x = await llm_query(p)",
        "rs = await asyncio.gather(*[llm_query(p) for p in ps])",
        "rs = await asyncio.gather(*(llm_query(p) for p in ps), llm_query(q))",
        "rs = await asyncio.gather(*map(llm_query, ps))",
        "tasks = [llm_query(p) for p in ps]\nrs = await asyncio.gather(*tasks)",
        "tasks = [llm_query(p) for p in ps]\nfor i in range(0, 9, 3):\n    rs += await asyncio.gather(*tasks[i:i + 3])",
        "tasks = []\nfor p in ps:\n    tasks.append(llm_query(p))\nrs = await asyncio.gather(*tasks)",
        "tasks = {k: llm_query(p) for k, p in d}\nrs = await asyncio.gather(*tasks.values())",
        "tasks = {}\nfor k in d:\n    tasks[k] = llm_query(k)\nfor k, task in tasks.items():\n    print(await task)",
        "tasks = [(k, llm_query(k)) for k in d]\nfor k, task in tasks:\n    print(k, await task)",
        "tasks = [llm_query(p) for p in ps]\nrs = [await task for task in tasks]",
        "tasks = [llm_query(p) for p in ps]\nwhile tasks:\n    print(await tasks.pop())",
        "a, b = (llm_query(p), llm_query(q))\nprint(await a, await b)",
        "t = asyncio.create_task(llm_query(p))\nprint(await t)",
        "for t in asyncio.as_completed([llm_query(p) for p in ps]):\n    print(await t)",
        "r = await asyncio.wait_for(llm_query(p), timeout=3)",
        "async with asyncio.TaskGroup() as group:\n    t = group.create_task(llm_query(p))",
        (
            "async def one(call):\n    async with limit:\n        return await call\n"
            "rs = await asyncio.gather(*[one(llm_query(p)) for p in ps])"
        ),
        "async def every(*calls):\n    return await asyncio.gather(*calls)\nrs = await every(llm_query(p), llm_query(q))",
        "async def main():\n    return await asyncio.gather(*tasks)\ntasks = [llm_query(p) for p in ps]\nrs = await main()",
        "rs = await asyncio.gather(*[from_another_cell(llm_query(p)) for p in ps])",
        (
            "class A:\n\n    async def f(self):\n        self.tasks = [llm_query(p) for p in ps]\n"
            "        await asyncio.gather(*self.tasks)"
        ),
        "llm_query(p).close()",
        "def f(cs):\n    return sorted(cs)\nx = f(ps)",
        "f = lambda p: llm_query(p)",
        "class A:\n\n    def ask(self, p):\n        return llm_query(p)",
        "xs.sort(key=score)",
        "print(llm_query.__doc__)",
        "ask = llm_query",
    ],
)
def test_what_is_right_is_left_alone(code: str) -> None:
    assert changed(code) == tidy(code)


@pytest.mark.parametrize(
    "code",
    [
        "def llm_query(p): return 1\nx = llm_query(p)['a']",
        "from mine import llm_query\nx = llm_query(p)",
        "llm_query = str.upper\nx = llm_query(p)",
        "def f(llm_query): return llm_query(p)['a']",
        "def f():\n    llm_query = str.upper\n    return llm_query(p).strip()",
        "x = [llm_query(p) for llm_query in fs]",
        "for llm_query in fs: print(llm_query(p))",
        "def f():\n    global llm_query\n    llm_query = len\nx = llm_query(p)",
        "def f(llm_query):\n    def g():\n        return llm_query(p)['a']\n    return g()",
        "x = mine.llm_query(p)['a']",
        "try:\n    pass\nexcept E as llm_query:\n    llm_query(p)",
        "match x:\n    case {'a': llm_query, **rest}:\n        llm_query(p)",
    ],
)
def test_names_that_the_cell_binds_itself_are_left_alone(code: str) -> None:
    assert changed(code) == tidy(code)


def test_a_name_of_a_class_means_the_sessions_own_in_its_methods() -> None:
    code = "class A:\n    llm_query = 1\n    async def f(self):\n        return llm_query(p)"
    assert "await llm_query(p)" in changed(code)


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("def f(c):\n    return llm_query(c)\nx = f(1)", "async def f(c):\n    return await llm_query(c)\nx = await f(1)"),
        ("def f(c):\n    return made(c)", "async def f(c):\n    return await made(c)"),
        (
            "def f(c):\n    r = await llm_query(c)\n    return r\nprint(f(1))",
            "async def f(c):\n    r = await llm_query(c)\n    return r\nprint(await f(1))",
        ),
        (
            "def f(t):\n    return t or f(llm_query(t)) + f(t)",
            "async def f(t):\n    return t or await f(await llm_query(t)) + await f(t)",
        ),
        (
            "def main():\n    def one(c):\n        return llm_query(c).strip()\n    return [one(c) for c in cs]\nmain()",
            (
                "async def main():\n    async def one(c):\n        return (await llm_query(c)).strip()\n"
                "    return [await one(c) for c in cs]\nawait main()"
            ),
        ),
        (
            "if x:\n    def f(c): return llm_query(c)\nelse:\n    def f(c): return c\nf(1)",
            "if x:\n    async def f(c): return await llm_query(c)\nelse:\n    async def f(c): return c\nawait f(1)",
        ),
        (
            (
                "def f(c): return llm_query(c)\nrs = await asyncio.gather(*[f(c) for c in cs])\n"
                "rs = await asyncio.gather(*map(f, cs))"
            ),
            (
                "async def f(c): return await llm_query(c)\nrs = await asyncio.gather(*[f(c) for c in cs])\n"
                "rs = await asyncio.gather(*map(f, cs))"
            ),
        ),
        (
            "def f(cs): return [llm_query(c) for c in cs]\nrs = await asyncio.gather(*f(cs))",
            (
                "async def f(cs): return await __rlm_together__([llm_query(c) for c in cs])\n"
                "rs = await asyncio.gather(*await f(cs))"
            ),
        ),
        ("def f(): return asyncio.run(main())\nf()", "async def f(): return await __rlm_run__(main())\nawait f()"),
        ("rs = list(map(made, cs))", "rs = list(await __rlm_together__(map(made, cs)))"),
        (
            "def f(c): return llm_query(c)\nx = await asyncio.to_thread(f, c)",
            "async def f(c): return await llm_query(c)\nx = await asyncio.to_thread(f, c)",
        ),
    ],
)
def test_a_plain_function_becomes_async_where_all_its_uses_can_follow(code: str, wanted: str) -> None:
    assert changed(code) == tidy(wanted)


@pytest.mark.parametrize(
    ("code", "line", "advice"),
    [
        ("x = 1\nf = lambda p: llm_query(p).strip()", 2, "a lambda cannot: write an `async def` with `await llm_query(...)`"),
        ("x = any('a' in llm_query(p) for p in ps)", 1, "a generator cannot: write a list, `[... await llm_query(...) ...]`"),
        ("class A:\n    x = llm_query(p).strip()", 2, "the body of a class cannot"),
        (
            "class A:\n    def f(self):\n        r = llm_query(p)\n        return r['response']",
            3,
            (
                "the plain function f cannot: write `async def f` with `await llm_query(...)`, and `await f(...)` where it is "
                "called (f is a method)"
            ),
        ),
        ("def f(c):\n    return int(llm_query(c))\nxs.sort(key=f)", 2, "(f is used other than by calling it in line 3)"),
        ("def f(c):\n    yield llm_query(c).strip()", 2, "(f is a generator)"),
        ("@cache\ndef f(c):\n    return llm_query(c).strip()", 3, "(f has a decorator)"),
        ("def f(c):\n    return llm_query(c).strip()\nf = wrap(f)", 2, "(f is a name that something else has too)"),
        (
            "def f(c):\n    return llm_query(c)[0]\nxs.sort(key=lambda x: f(x))",
            2,
            "(f is called in line 3, where a lambda cannot",
        ),
        ("def f(c):\n    return llm_query(c)[0]\nclass A:\n    def g(self):\n        return f(1)", 2, "(g is a method)"),
        ("def f(c):\n    await llm_query(c)\nxs.sort(key=f)", 2, "write `async def f` with `await llm_query(...)`"),
        ("x = await gather(*[llm_query(p)['response'] for p in ps])", 1, "gather takes calls, not parts of their answers"),
    ],
)
def test_where_it_cannot_be_awaited_the_error_says_what_to_write(code: str, line: int, advice: str) -> None:
    with pytest.raises(SyntaxError) as problem:
        changed(code)
    assert advice in str(problem.value)
    assert problem.value.lineno == line


@pytest.mark.parametrize(
    ("code", "replaced"),
    [
        ("asyncio.run(main())", True),
        ("x = [asyncio.run(main())]", True),
        ("loop.run_until_complete(main())", True),
        ("from asyncio import run\nrun(main())", True),
        ("async def f(): asyncio.run(main())", True),
        ("class C:\n    async def f(self): asyncio.run(main())", True),
        ("def outer():\n    async def f(): asyncio.run(main())", True),
        ("def f(): asyncio.run(main())", True),
        ("def f(): asyncio.run(main())\nxs.sort(key=f)", False),
        ("f = lambda: asyncio.run(main())", False),
        ("x = (asyncio.run(f) for f in fs)", False),
        ("subprocess.run(main())", False),
        ("run(main())", False),
    ],
)
def test_asyncio_run_becomes_await_where_await_is_allowed(code: str, replaced: bool) -> None:
    assert (awaits.RUN in changed(code)) == replaced


def test_code_for_threads_waits_where_threads_would() -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor, as_completed\n"
        "def f(c):\n    return llm_query(c)['response']\n"
        "with ThreadPoolExecutor(5) as pool:\n"
        "    xs = list(pool.map(f, cs))\n"
        "    futures = {pool.submit(f, c): c for c in cs}\n"
        "    for future in as_completed(futures):\n        print(future.result())\n"
    )
    assert changed(code) == tidy(
        "from concurrent.futures import ThreadPoolExecutor, as_completed\n"
        "async def f(c):\n    return (await llm_query(c))['response']\n"
        "async with ThreadPoolExecutor(5) as pool:\n"
        "    xs = list(await __rlm_finished__(pool.map(f, cs)))\n"
        "    futures = {pool.submit(f, c): c for c in cs}\n"
        "    for future in as_completed(await __rlm_finished__(futures)):\n"
        "        print((await __rlm_finished__(future)).result())\n"
    )


def test_what_has_a_result_is_left_alone_where_there_is_no_executor() -> None:
    code = "x = thing.result()\ny = thing.map(f, xs)"
    assert changed(code) == tidy(code)


@pytest.mark.parametrize(
    ("source_code", "read"),
    [("x = 1", False), ("x = llm_query(1)", True), ("made()", True), ("asyncio.run(f())", True), ("f.result()", False)],
)
def test_a_cell_is_read_only_if_it_names_something_to_await(source_code: str, read: bool) -> None:
    assert KNOWN.may_be_in(source_code) == read


@pytest.fixture(autouse=True)
def stand_ins() -> Iterator[None]:
    """What changed code calls."""
    made = {clock.TICK: lambda: True, awaits.TOGETHER: together.together, awaits.FINISHED: together.finished}
    for name, function in made.items():
        setattr(builtins, name, function)
    yield
    for name in made:
        delattr(builtins, name)


async def run(cell: source.Cell, namespace: dict[str, Any]) -> None:
    for code in (cell.body, cell.last):
        if code is not None:
            value = FunctionType(code, namespace)()
            if code.co_flags & inspect.CO_COROUTINE:
                await value


@given(programs.programs_that_ask)
def test_a_program_that_forgets_every_await_computes_what_it_would_if_calls_were_plain(program: str) -> None:
    def plain(prompt: str) -> Response:
        return Response(f"<{prompt}>")

    def asked(prompt: str) -> NotAwaited:
        def work() -> Coroutine[Any, Any, Response]:
            return answer(prompt)

        return NotAwaited("llm_query", work)

    async def answer(prompt: str) -> Response:
        await asyncio.sleep(0)
        return plain(prompt)

    expected: dict[str, Any] = {"llm_query": plain}
    exec(program, expected)  # noqa: S102 - generated here
    namespace: dict[str, Any] = {"llm_query": asked}
    asyncio.run(run(source.compile_cell(program, "<test cell>", KNOWN), namespace))
    assert [namespace[name] for name in ("log", "t", "u")] == [expected[name] for name in ("log", "t", "u")]
