"""How the replies of models that write blocks of code are read."""

from __future__ import annotations

import re
import textwrap

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm_rlm.root.blocks import read


@pytest.mark.parametrize(
    "language", ["python", "py", "Python3", "repl", "IPython", "tool_code", "", "{.python}", "python title=x"]
)
@pytest.mark.parametrize("fence", ["```", "~~~", "`````", "~~~~"])
def test_a_block_of_python_is_code_and_the_prose_around_it_is_not(fence: str, language: str) -> None:
    reply = f"First I look.\n\n{fence}{language}\nx = 1\nprint(x)\n{fence}\nThen I see."
    assert read(reply).code == ("x = 1\nprint(x)",)
    assert read(reply).prose == "First I look.\n\nThen I see."


@pytest.mark.parametrize("language", ["json", "text", "bash", "output", "javascript", "pythonista"])
def test_blocks_of_other_languages_are_not_code_nor_prose(language: str) -> None:
    found = read(f"```{language}\nFINAL(1)\n```\n")
    assert (found.code, found.prose.strip()) == ((), "")


def test_several_blocks_come_in_order_and_blank_ones_not_at_all() -> None:
    reply = "```python\na\n```\nand\n~~~repl\nb\n~~~\n```python\n\n```\n```json\n{}\n```\n```\nc\n```"
    assert read(reply).code == ("a", "b", "c")


def test_a_block_that_is_not_closed_goes_on_to_the_end() -> None:
    assert read("Look:\n```python\nx = 1\nprint(x)").code == ("x = 1\nprint(x)",)
    assert read("```repl\nx = 1\n").code == ("x = 1\n",)


def test_a_closing_fence_is_as_long_as_the_opening_one_and_alone_on_its_line() -> None:
    assert read("````python\nx = 1\n```\ny = 2\n``````  \nend").code == ("x = 1\n```\ny = 2",)
    assert read("```python\nx = 1\n``` and on\n~~~\n```").code == ("x = 1\n``` and on\n~~~",)


@pytest.mark.parametrize(
    "reply",
    [
        "Use ```x = 1``` for it.",
        "```python x = `1` ```\nno",
        "    ```python\n    an example, indented\n    ```",
        "``python\nx\n``",
    ],
)
def test_what_is_no_fence_begins_no_block(reply: str) -> None:
    assert read(reply).code == ()


@pytest.mark.parametrize(
    "code",
    [
        'prompt = """Answer so:\n```\n{"a": 1}\n```\n"""\nprint(prompt)',
        "prompt = '''\n```json\n{}\n```'''\nx = 1",
        'prompt = f"""\n```\n{context[:5]}\n```\n{f"{x}"}\n```\n"""',
        'def f():\n    """Doc.\n\n    ```\n    f()\n    ```\n    """\n    return r"""\n~~~\n```\n"""',
        'x = (1,\n  """\n```\n""")  # don\'t',
    ],
)
def test_a_fence_in_a_string_does_not_end_the_block(code: str) -> None:
    """Where others break: fences inside string literals end their blocks."""
    assert read(f"So:\n```python\n{code}\n```\nand\n```python\nlast\n```").code == (code, "last")
    assert read(f"So:\n```python\n{code}").code == (code,)


def test_a_string_that_never_ends_does_not_swallow_the_blocks_after_it() -> None:
    assert read('```python\nx = """abc\n```\nprose\n```python\ny = 1\n```').code == ('x = """abc', "y = 1")


def test_code_that_is_wrong_ends_at_its_first_fence() -> None:
    assert read("```python\nx = ' + (\n  y\n z\n```\nprose, don't\n```python\ny = 1\n```").code == (
        "x = ' + (\n  y\n z",
        "y = 1",
    )


@pytest.mark.parametrize(
    ("before", "margin"),
    [
        ("", " "),
        ("", "   "),
        ("- Look:\n\n", "  "),
        ("1. Look:\n", "   "),
        ("* a\n    * b:\n", "        "),
        ("> he said\n", "> "),
        ("> > he said\n", "> > "),
    ],
)
def test_blocks_in_lists_and_quotes_are_read_without_their_margin(before: str, margin: str) -> None:
    code = 'for x in y:\n    print("""\n  a""")'
    block = textwrap.indent(f"```python\n{code}\n```", margin)
    assert read(f"{before}{block}\n\nend").code == (code,)


def test_a_block_may_begin_on_the_line_of_its_list_item() -> None:
    assert read("1. ```python\n   x = 1\n   ```\n2. ```python\n   y = 2\n   ```").code == ("x = 1", "y = 2")


def test_a_quote_that_ends_ends_its_block() -> None:
    found = read("> ```python\n> x = 1\nprose\n> more")
    assert (found.code, found.prose) == (("x = 1",), "prose\n> more")


def test_code_that_does_not_share_the_margin_of_its_fence_stays_as_it_is() -> None:
    assert read("  ```python\nfor x in y:\n    x\n  ```").code == ("for x in y:\n    x",)


def test_code_that_is_indented_as_a_whole_is_moved_to_the_left() -> None:
    assert read("```python\n    x = 1\n    if x:\n        y\n```").code == ("x = 1\nif x:\n    y",)


def test_windows_line_ends_are_not_part_of_the_code() -> None:
    assert read("So:\r\n```python\r\nx = 1\r\nprint(x)\r\n```\r\nend").code == ("x = 1\nprint(x)",)


@pytest.mark.parametrize(
    ("thought", "rest"),
    [
        ("<think>\nMaybe\n```python\nbad\n```\n</think>\n", "```python\nx\n```"),
        ("  <thinking>a</thinking><think>b</think>", "```python\nx\n```"),
        ("I might\n```python\nbad\n```\nFINAL(3)\nso.\n</think>\n\n", "```python\nx\n```"),
    ],
)
def test_what_was_only_thought_is_no_part_of_the_reply(thought: str, rest: str) -> None:
    found = read(thought + rest)
    assert (found.text.strip(), found.code) == (rest, ("x",))
    assert "FINAL" not in found.prose


def test_a_thought_that_does_not_end_is_all_there_is() -> None:
    assert read("<think>\n```python\nx\n```").code == ()


def test_a_thought_that_stands_in_code_is_code() -> None:
    code = 'x = """\n</think>\n"""\nprint("<think>")'
    assert read(f"```python\n{code}\n```").code == (code,)


def _fence_around(source: str, mark: str) -> str:
    runs = [len(run) for run in re.findall(f"{mark}+", source)]
    return mark * max(3, *(length + 1 for length in runs or [2]))


PIECES = st.sampled_from(
    ["```", "~~~", "````python", "\n", '"""', "'''", "x = 1", "    ", "def f():", "\\", "f'{x}'", "> ", "- ", "#", "\t"]
)
SOURCES = st.text() | st.lists(PIECES | st.text(max_size=3)).map("".join)


@settings(deadline=None)
@given(source=SOURCES, mark=st.sampled_from("`~"), before=st.sampled_from(["", "prose\n", "- a\n\n"]), closed=st.booleans())
@example(source='x = """\n```\n"""', mark="`", before="", closed=True)
@example(source="\r\nx = '\r'", mark="`", before="", closed=True)
@example(source="\ud800 = '''", mark="~", before="", closed=True)
def test_any_source_in_a_fence_that_is_long_enough_comes_back_exactly(
    source: str, mark: str, before: str, closed: bool
) -> None:
    first = next((line for line in source.split("\n") if line.strip() and not line.lstrip().startswith("#")), "x")
    fence = _fence_around(source, mark)
    found = read(f"{before}{fence}python\n{source}" + (f"\n{fence}\nprose" if closed else ""))
    if first[:1] in {" ", "\t"}:  # not Python: it is moved to the left
        source = textwrap.dedent(source)
    assert found.code == ((source,) if source.strip() else ())
    assert found.prose.endswith("prose") == closed or before == "prose\n"


@settings(deadline=None)
@given(st.lists(PIECES | st.text(max_size=3)).map("".join))
def test_any_reply_can_be_read(reply: str) -> None:
    found = read(reply)
    assert all(block.strip() for block in found.code)
    assert all(line in reply for line in found.prose.split("\n"))
