"""Random small programs for the properties of what is done to cells. They use `log`, `i0`, `a`, `b` and `c`."""

from __future__ import annotations

from hypothesis import strategies as st

BEGINNING = "log, i0, a, b, c = [], 0, 1, 2, 3"

_numbers = st.integers(-3, 5).map(str)
_names = st.sampled_from("abc")
_atoms = _numbers | _names
expressions = st.recursive(
    _atoms,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "<", "and", "or"]), inner)
        | st.builds("sum([{} for i in range({}) if {}])".format, inner, st.integers(0, 4), inner)
        | st.builds("sum({} for i in range({}))".format, inner, st.integers(0, 4))
        | st.builds("len({{i: {} for i in range(3)}})".format, inner)
        | st.builds("(lambda x: x + {})({})".format, inner, inner)
        | st.builds("sum(map(lambda x: x + {}, [{}]))".format, inner, inner)
        | st.builds("({} if {} else {})".format, inner, inner, inner)
    ),
    max_leaves=4,
)


def indented(lines: list[str]) -> str:
    return "\n".join("    " + line for part in lines for line in part.split("\n"))


def _body(inner: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(inner, min_size=1, max_size=2)


_simple = (
    st.builds("{} = {}".format, _names, expressions)
    | st.builds("log.append({})".format, expressions)
    | st.builds("print({}, f'{{{}}}')".format, expressions, _names)
)
statements = st.recursive(
    _simple,
    lambda inner: (
        st.builds(
            lambda n, body: f"for i in range({n}):\n{indented(body)}\nelse:\n    log.append(i0)",
            st.integers(0, 3),
            _body(inner),
        )
        | st.builds(lambda n, body: f"k = {n}\nwhile k > 0:\n    k -= 1\n{indented(body)}", st.integers(0, 3), _body(inner))
        | st.builds(lambda test, body: f"if {test}:\n{indented(body)}", expressions, _body(inner))
        | st.builds(
            lambda doc, body: (
                f"def f():\n{doc}    global a, b, c\n{indented(body)}\n    return a\nlog.append((f(), f.__doc__))"
            ),
            st.sampled_from(["", '    "a docstring"\n']),
            _body(inner),
        )
        | st.builds(
            lambda body: (
                f"class C:\n    def result(self):\n        global a, b, c\n{indented(indented(body).split(chr(10)))}\n"
                "log.append(C().result())"
            ),
            _body(inner),
        )
        | st.builds(
            lambda body: f"try:\n{indented(body)}\n    raise KeyError\nexcept KeyError as e:\n    log.append(repr(e))",
            _body(inner),
        )
        | st.builds(
            lambda body: (
                f"try:\n    def g():\n        global a, b, c\n{indented(indented(body).split(chr(10)))}\n        a / 0\n"
                "    g()\nexcept ZeroDivisionError as e:\n"
                "    log.append((e.__traceback__.tb_lineno, e.__traceback__.tb_next.tb_lineno))"
            ),
            _body(inner),
        )
    ),
    max_leaves=5,
)

_prompts = st.sampled_from(["'p'", "'q'", "str(a)", "t", "u"])
_answers = st.recursive(
    st.builds("llm_query({})".format, _prompts),
    lambda inner: (
        st.builds("{}['response']".format, st.builds("llm_query({})".format, _prompts))
        | st.builds("{}.upper()".format, inner)
        | st.builds("llm_query({})".format, inner)
        | st.builds("({} + {})".format, inner, inner)
        | st.builds("f'{{{}}}'".format, st.builds('llm_query("{}")'.format, st.sampled_from("xy")))
        | st.builds("''.join([{} for i in range({})])".format, inner, st.integers(0, 3))
        | st.builds("','.join({} for i in range({}))".format, inner, st.integers(0, 3))
        | st.builds("'-'.join({{i: {} for i in range(2)}}.values())".format, inner)
        | st.builds("''.join(map(llm_query, [{}, {}]))".format, inner, _prompts)
        | st.builds("({} if 'p' in {} else t)".format, inner, inner)
        | st.builds("ask({})".format, inner)
        | st.builds("''.join([ask(t) for i in range({})])".format, st.integers(0, 3))
    ),
    max_leaves=4,
)
_asking = st.recursive(
    st.builds("{} = {}".format, st.sampled_from("tu"), _answers) | st.builds("log.append({})".format, _answers),
    lambda inner: (
        st.builds(lambda n, body: f"for i in range({n}):\n{indented(body)}", st.integers(0, 2), _body(inner))
        | st.builds(lambda test, body: f"if 'p' in {test}:\n{indented(body)}", _answers, _body(inner))
        | st.builds(lambda body: f"def f():\n    global t, u\n{indented(body)}\n    return t\nlog.append(f())", _body(inner))
        | st.builds(
            lambda body: (
                f"try:\n    def g():\n        global t, u\n{indented(indented(body).split(chr(10)))}\n        1 / 0\n    g()\n"
                "except ZeroDivisionError as e:\n    log.append((e.__traceback__.tb_lineno, e.__traceback__.tb_next.tb_lineno))"
            ),
            _body(inner),
        )
    ),
    max_leaves=4,
)
programs_that_ask = st.lists(_asking, min_size=1, max_size=3).map(
    lambda parts: "\n".join(
        ["log, a, t, u = [], 1, 'T', 'U'", "def ask(p):", "    r = llm_query(p)", "    return r['response'] + '!'", *parts]
    )
)
"""Programs that call `llm_query` and never await it. They use `log`, `t` and `u`."""
