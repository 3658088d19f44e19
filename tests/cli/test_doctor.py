"""`llm rlm doctor`, through LLM's own entry point."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from click.testing import CliRunner
from llm.cli import cli

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Serve


def test_where_runs_can_go_well_it_ends_with_0_and_each_check_is_a_line(serve: Serve) -> None:
    models = serve()
    done = CliRunner().invoke(cli, ["rlm", "doctor", "-m", "chat"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ok      versions: llm-rlm ")
    assert "note    price: of chat not known: --max-cost cannot hold" in lines
    assert any(line.startswith("        → give its price with --price chat=IN,OUT") for line in lines)
    assert models.server.requests == []


def test_where_something_is_broken_it_ends_with_1_also_as_json(user_path: Path) -> None:
    (user_path / "rlm.toml").write_text("max_cost = '\x1b[2J'")
    text, machine = (CliRunner().invoke(cli, ["rlm", "doctor", *more]) for more in ([], ["--json"]))
    assert (text.exit_code, machine.exit_code) == (1, 1)
    assert "\x1b" not in text.stdout
    assert "PROBLEM settings: " in text.stdout
    found = {check["name"]: check for check in json.loads(machine.stdout)}
    assert found["settings"]["state"] == "problem"
    assert all(set(check) == {"name", "state", "found", "cure"} for check in found.values())
