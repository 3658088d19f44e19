"""The public names, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import llm_rlm
from llm_rlm import errors


def test_every_public_name_is_there_and_dir_shows_no_other() -> None:
    assert dir(llm_rlm) == sorted(llm_rlm.__all__)
    for name in llm_rlm.__all__:
        assert getattr(llm_rlm, name).__name__ == name


def test_every_error_is_public() -> None:
    there = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert there <= set(llm_rlm.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        llm_rlm.nothing  # noqa: B018 - looking it up is the test


def test_every_error_can_be_caught_as_one() -> None:
    kinds = [value for name, value in vars(llm_rlm).items() if name.endswith("Error")]
    kinds += [getattr(llm_rlm, name) for name in llm_rlm.__all__ if name.endswith("Error")]
    assert all(issubclass(kind, llm_rlm.RLMError) for kind in kinds)


def test_the_plugin_imports_next_to_nothing() -> None:
    heavy = ("llm_rlm.rlm", "llm_rlm.runs.run", "llm_rlm.runs.start", "llm_rlm.toolbox", "rich", "jsonschema", "psutil", "eryx")
    code = (
        "import sys, llm.plugins; llm.plugins.load_plugins(); import llm_rlm.plugin, llm.cli;"
        f" print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
    assert done.stdout.strip() == "[]"
