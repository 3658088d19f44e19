"""The examples of the documents do what the documents say. Scripts play the models: see docs/plays.py."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from click.testing import CliRunner
from llm.cli import cli

from examples import Block, Command, blocks, commands, is_plain
from llm_rlm import RLM
from llm_rlm.testing import Reply, ScriptedModel, ScriptedServer, tool_outputs
from scripts import run, submit

if TYPE_CHECKING:
    from collections.abc import Iterator

    import llm

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LOCAL = "http://localhost:8080/v1"


def _plays() -> Any:
    spec = importlib.util.spec_from_file_location("plays", DOCS / "plays.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plays = _plays()


@pytest.fixture
def here(tmp_path: Path, user_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to be in, and models played by scripts: `big-model`, which is LLM's default, and `small-model`."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with ScriptedServer(plays.play) as server:
        server.write_models_yaml(user_path, "big-model", "small-model")
        (user_path / "default_model.txt").write_text("big-model")
        monkeypatch.setenv("LOCAL_SERVER", server.url)
        yield folder


@pytest.mark.timeout(600)  # a dozen runs, each in a sandbox of its own, on a machine that may do other things too
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page.read_text("utf-8"))], ids=lambda page: page.stem)
def test_the_examples_of_a_page_do_what_it_says(page: Path, here: Path) -> None:
    names: dict[str, Any] = {}
    for block in blocks(page.read_text("utf-8")):
        if block.not_run is not None:
            assert len(block.not_run) > 10, "a reason is given"
        elif block.title is not None:
            _write(here, block)
        elif block.cell is not None:
            _run_cell(block)
        elif block.language == "python":
            exec(compile(block.text, page.name, "exec"), names)  # noqa: S102 - our own document
        elif block.language == "console":
            _run_all(commands(block))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_with_answers_says_that_scripts_play_the_models(page: Path) -> None:
    text = page.read_text("utf-8")
    if any(block.language == "console" and block.not_run is None for block in blocks(text)):
        assert re.search("scripts (?:that )?play the models", text, re.IGNORECASE)


def _write(here: Path, block: Block) -> None:
    """Write a file that the page shows. LLM's own go to its folder, and the address of a local server is that of ours."""
    assert block.title is not None
    folder = Path(os.environ["LLM_USER_PATH"]) if block.title.endswith((".yaml", ".toml")) else here
    path = folder / block.title
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text("utf-8") if path.exists() else ""
    path.write_text(before + block.text.replace(LOCAL, os.environ["LOCAL_SERVER"]), "utf-8")


def _run_cell(block: Block) -> None:
    """Run code of a cell in the sandbox, after what the page says comes before it."""
    shown: list[str] = []

    def root(prompt: llm.Prompt) -> Reply:
        shown[:] = tool_outputs(prompt)
        return submit("done") if shown else run(f"{block.cell}\n{block.text}\nprint('to its end')")

    RLM(ScriptedModel(root), "small-model", log=False).ask("?", "one\ntwo\nthree")
    assert "to its end" in shown[0].splitlines(), shown[0]


def _run_all(steps: list[Command]) -> None:
    """Run commands one after another. Each ends with 0, unless `echo $?` comes after it."""
    code = 0
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        if step.line == "echo $?":
            output = str(code)
        else:
            code, output = _run(step.parts)
            assert code == 0 or (after is not None and after.line == "echo $?"), output
        assert step.fits(output), f"$ {step.line}\n{output}\n--- and not\n{step.shown}"


def _run(parts: list[str]) -> tuple[int, str]:
    """The exit code of commands with pipes between them, and what is seen: all of the last, and errors of the others."""
    code, given, seen = 0, b"", ""
    for part in parts:
        done = _part(part, given)
        code, given = done.code or code, done.stdout
        seen += done.seen if part is parts[-1] else done.stderr
    return code, seen


@dataclass(frozen=True)
class _Done:
    """What came of a command."""

    code: int
    stdout: bytes
    stderr: str
    seen: str
    """Both, in the order in which they were written."""


def _part(command: str, given: bytes) -> _Done:
    """Run a command: in this process if it is LLM's or a program of the page's own, since starting Python takes long."""
    match shlex.split(command) if is_plain(command) else []:
        case ["llm", *arguments]:
            return _llm(arguments, given)
        case ["python", name, *_] as words if name.endswith(".py"):
            return _program(words[1:])
        case _:
            return _in_shell(command, given)


def _llm(arguments: list[str], given: bytes) -> _Done:
    result = CliRunner().invoke(cli, arguments, input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return _Done(result.exit_code, result.stdout_bytes, result.stderr, result.output)


def _program(words: list[str]) -> _Done:
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors), mock.patch.object(sys, "argv", words):
        runpy.run_path(words[0], run_name="__main__")
    return _Done(0, out.getvalue().encode(), errors.getvalue(), errors.getvalue() + out.getvalue())


def _in_shell(command: str, given: bytes) -> _Done:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    line = ["bash", "-o", "pipefail", "-c", command]
    done = subprocess.run(line, env=os.environ | {"PATH": path}, input=given, capture_output=True, check=False)  # noqa: S603 - our own document
    errors = done.stderr.decode()
    return _Done(done.returncode, done.stdout, errors, errors + done.stdout.decode())
