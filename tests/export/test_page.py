"""What the page of exports says is what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema

from llm_rlm import RLM
from llm_rlm.cli import rlm, telemetry
from llm_rlm.testing import ScriptedModel

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "howto/export.md").read_text("utf-8")


def test_every_option_that_the_page_shows_is_there() -> None:
    there = {option for parameter in rlm.commands["export"].params for option in parameter.opts}
    commands = re.findall(r"^llm rlm export ([^|\n]*)", PAGE, re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        assert set(re.findall(r"(?<!\S)--?[a-z]+", command)) <= there, command


def test_the_example_of_cells_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    printed: list[object] = []
    sub = ScriptedModel(lambda _: "not asked", "gpt-5.2-mini")

    def engine(sub_model: str, **more: object) -> RLM:
        assert sub_model == sub.model_id
        return RLM(sub_model=sub, **more)  # type: ignore[arg-type]

    code = block.replace("from llm_rlm import RLM, Limits", "from llm_rlm import Limits")
    exec(code, {"RLM": engine, "print": printed.append})  # noqa: S102 - our own document
    assert printed == ["2", ["first line", "second line"]]


def test_the_time_that_a_collector_has_is_as_the_page_says() -> None:
    assert f"within {telemetry.PATIENCE:g} seconds" in PAGE


def test_the_schema_that_the_page_names_is_one() -> None:
    (path,) = re.findall(r"\((?:\.\./)?(schemas/[^)]*)\)", PAGE)
    jsonschema.Draft202012Validator.check_schema(json.loads((DOCS / path).read_text("utf-8")))
