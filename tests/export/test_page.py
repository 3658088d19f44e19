"""What the page of exports says is what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema

from llm_rlm.cli import rlm, telemetry

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "howto/export.md").read_text("utf-8")


def test_every_option_that_the_page_shows_is_there() -> None:
    there = {option for parameter in rlm.commands["export"].params for option in parameter.opts}
    commands = re.findall(r"^\$ llm rlm export ([^|\n]*)", PAGE, re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        assert set(re.findall(r"(?<!\S)--?[a-z]+", command)) <= there, command


def test_the_time_that_a_collector_has_is_as_the_page_says() -> None:
    assert f"within {telemetry.PATIENCE:g} seconds" in PAGE


def test_the_schema_that_the_page_names_is_one() -> None:
    (path,) = re.findall(r"\(\.\./(schemas/[^)]*)\)", PAGE)
    jsonschema.Draft202012Validator.check_schema(json.loads((DOCS / path).read_text("utf-8")))
