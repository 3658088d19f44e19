"""Facts that users of other RLMs may not be used to, and that no other test here is named for."""

from __future__ import annotations

import sys
import threading
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from llm_rlm import RLM, Limits
from llm_rlm.places import journal_path
from llm_rlm.testing import ScriptedModel, tool_outputs
from scripts import run, scripted, submit, submit_variable

if TYPE_CHECKING:
    import llm
    import pytest


def counting() -> tuple[ScriptedModel, list[str]]:
    """A sub-model, and what it was asked."""
    asked: list[str] = []

    def answer(prompt: llm.Prompt) -> str:
        asked.append(prompt.prompt)
        return f"re {prompt.prompt}"

    return ScriptedModel(answer, "sub"), asked


def test_a_cell_that_raises_keeps_the_answers_that_it_has_paid_for() -> None:
    sub, asked = counting()
    failing = "rs = await llm_batch(['a', 'b'])\nr = await llm_query('c')\n1 / 0"
    root = scripted(run(failing), run("kept = [str(x) for x in [*rs, r]]"), submit_variable("kept"))
    assert RLM(root, sub).ask("?", "x").answer == ["re a", "re b", "re c"]
    assert sorted(asked) == ["a", "b", "c"]


def test_a_batch_that_is_refused_takes_nothing_of_the_budget() -> None:
    sub, asked = counting()
    refused = "try:\n    await llm_batch(['a', 1, 'b'])\nexcept Exception as error:\n    print(type(error).__name__)"
    before = f"calls = budget()['calls']\n{refused}"
    root = scripted(run(before), run("same = budget()['calls'] == calls"), submit_variable("same"))
    result = RLM(root, sub, Limits(calls=3)).ask("?", "x")
    assert (result.answer, result.usage.calls, asked) == (True, 0, [])


def test_runs_side_by_side_do_not_mix_what_they_print_and_leave_stdout_to_the_host(capsys: pytest.CaptureFixture[str]) -> None:
    together = threading.Barrier(3, timeout=60)
    shown: dict[str, str] = {}
    stdout = sys.stdout

    def ask(name: str) -> None:
        def script(prompt: llm.Prompt) -> object:
            outputs = tool_outputs(prompt)
            if not outputs:
                together.wait()
                return run(f"for i in range(200):\n    print('{name}', end='')")
            shown[name] = outputs[0].split("\n")[0]
            return submit("done")

        RLM(ScriptedModel(script, name)).ask("?", "x")  # type: ignore[arg-type]  # a Reply

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    print("the host")  # noqa: T201 - whether it still can is the question
    assert shown == {name: name * 200 for name in "abc"}
    assert (sys.stdout is stdout, capsys.readouterr().out) == (True, "the host\n")


def test_places_in_a_text_with_windows_line_ends_are_those_of_the_file(tmp_path: Path) -> None:
    data = b"first\r\nsecond\r\nthe third line\r\n"
    (path := tmp_path / "dos.txt").write_bytes(data)
    cell = "places = [grep('third')[0].start, context.find('third'), len(context)]\nsubmit(places, quotes=['the third'])"
    result = RLM(scripted(run(cell))).ask("?", path)
    at = data.index(b"the third")
    assert result.answer == [at + len("the "), at + len("the "), len(data)]
    assert [(quote["start"], quote["line"]) for quote in result.citations] == [(at, 3)]


def test_the_journal_grows_with_the_turns_and_not_with_their_square(user_path: Path) -> None:
    sizes = []
    for turns in (20, 40):
        before = _size()
        RLM(scripted(*[run("print('y' * 4000)")] * turns, submit("done")), limits=Limits(turns=None)).ask("?", "x")
        sizes.append(_size() - before)
    assert sizes[1] < 3 * sizes[0]
    assert user_path in journal_path().parents


def _size() -> int:
    """Bytes that the journal takes, with what is not yet merged into its file."""
    return sum(path.stat().st_size for path in journal_path().parent.glob("rlm.db*"))


def test_an_answer_that_fits_its_schema_is_had_also_where_the_turns_run_out() -> None:
    root = scripted(run("n = 4"), submit('The value is {"n": 4}'))
    result = RLM(root, limits=Limits(turns=2)).ask("?", "x", schema="n int")
    assert (result.answer, result.finish) == ({"n": 4}, "limit")


def test_the_same_question_is_asked_of_each_file_of_a_folder(tmp_path: Path) -> None:
    (folder := tmp_path / "notes").mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.txt").write_text(f"text of {name}")
    sub, asked = counting()
    ask = "rs = await llm_batch(['Who? ' + context[name] for name in context.names])"
    cell = f"{ask}\nfound = {{name[-5]: str(r) for name, r in zip(context.names, rs)}}"
    result = RLM(scripted(run(cell), submit_variable("found")), sub).ask("?", folder)
    assert result.answer == {name: f"re Who? text of {name}" for name in "abc"}
    assert len(asked) == 3
    assert result.coverage is not None
    assert result.coverage.untouched == []


def test_what_it_needs_to_run_has_no_test_runner_and_no_sdk_of_a_provider() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    assert not [each for each in project["dependencies"] if each.startswith(("pytest", "openai", "anthropic", "google-genai"))]
