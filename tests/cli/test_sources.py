"""What the command reads, and where it says that an answer came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from llm.cli import cli

from llm_rlm.testing import call
from scripts import run, submit

if TYPE_CHECKING:
    from click.testing import Result

    from conftest import Serve

ASK = ("?", "-m", "chat")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    inside = tmp_path / "in"
    (inside / "logs").mkdir(parents=True)
    (inside / "logs" / "a.log").write_text("first line of the first file\nsecond line of it, which is longer\n")
    (inside / "logs" / "b.log").write_text("the only line of the second file\n")
    (inside / "logs" / "logo.png").write_bytes(b"\0")
    monkeypatch.chdir(inside)
    return inside


def llm_rlm(*arguments: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["rlm", *arguments], input=given)


def test_a_folder_is_a_mapping_and_what_was_skipped_is_told(serve: Serve) -> None:
    models = serve(run("print(context.names, context['logs/b.log'])"), submit("done"))
    result = llm_rlm(*ASK, "-c", "logs", "--json")
    told = json.loads(result.stdout)
    assert "['logs/a.log', 'logs/b.log'] the only line of the second file" in models.tool_results[0]
    assert told["skipped"] == [{"name": "logs/logo.png", "reason": "binary"}]
    assert [(source["name"], source["bytes"]) for source in told["sources"]] == [("logs/a.log", 64), ("logs/b.log", 33)]
    assert told["coverage"]["untouched"] == ["logs/a.log"]
    assert "skipped: logs/logo.png (binary)" in result.stderr


def test_what_reached_a_model_is_found_by_matching(serve: Serve) -> None:
    serve(run("await llm_query('Read: ' + context['logs/a.log'])\ncontext['logs/b.log'] and None"), submit("done"))
    told = json.loads(llm_rlm(*ASK, "-c", "logs", "--json", "-q").stdout)["coverage"]
    shares = {document["name"]: (document["read"], document["sent"]) for document in told["documents"]}
    assert shares == {"logs/a.log": (64, 64), "logs/b.log": (33, 0)}
    assert told["untouched"] == []


def test_too_little_coverage_is_exit_code_3_with_the_documents_named(serve: Serve) -> None:
    steps = run("context['logs/a.log'] and None"), submit("done")
    serve(*steps)
    result = llm_rlm(*ASK, "-c", "logs", "--min-coverage", "95%")
    assert (result.exit_code, result.stdout) == (3, "done\n")
    assert "--min-coverage 95%: only 66.0% of the input was touched; too little of logs/b.log" in result.stderr
    serve(*steps)
    assert llm_rlm(*ASK, "-c", "logs/a.log", "--min-coverage", "0.95").exit_code == 0


def test_quotes_are_looked_up_and_printed_with_their_place(serve: Serve) -> None:
    quotes = ["second line  of it,\nwhich", "only line of the second", "never written"]
    serve(call("RLMToolbox_submit_answer", answer="done", quotes=quotes))
    result = llm_rlm(*ASK, "-c", "logs", "--cite")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "done",
        "",
        '[1] logs/a.log:2 (but for white space): "second line of it, which"',
        '[2] logs/b.log:1: "only line of the second"',
        '[3] UNSUPPORTED (not in the input): "never written"',
    ]


def test_a_quote_that_is_not_there_is_asked_for_once_more(serve: Serve) -> None:
    wrong = call("RLMToolbox_submit_answer", answer="done", quotes=["never written"])
    right = call("RLMToolbox_submit_answer", answer="done", quotes=["only line"])
    models = serve(submit("done"), wrong)
    llm_rlm(*ASK, "-c", "logs", "--cite")
    assert "Submit again with `quotes`" in models.tool_results[0]
    models = serve(run("submit('done', quotes=['never written'])"), right)
    told = json.loads(llm_rlm(*ASK, "-c", "logs", "--cite", "--json", "-q").stdout)
    assert "- 'never written': not in the input" in models.tool_results[0]
    (citation,) = told["citations"]
    assert (citation["found"], citation["source"], citation["start"], citation["end"]) == (True, "logs/b.log", 4, 13)
    assert len(citation["sha256"] or "") in {0, 64}


def test_a_finished_run_still_knows_its_citations_and_its_coverage(serve: Serve) -> None:
    serve(run("context['logs/b.log'] and submit('done', quotes=['only line'])"))
    first = json.loads(llm_rlm(*ASK, "-c", "logs", "--json", "-q").stdout)
    again = json.loads(llm_rlm("resume", "last", "--json", "-q").stdout)
    assert again["coverage"] == first["coverage"]
    assert [(each["quote"], each["source"]) for each in again["citations"]] == [("only line", "logs/b.log")]
    assert again["skipped"] == first["skipped"]


def test_paths_come_from_standard_input_as_rg_lists_them(serve: Serve) -> None:
    models = serve(run("print(context.names)"), submit("done"))
    result = llm_rlm(*ASK, "--paths-from-stdin", given=b"logs/b.log\0logs/a.log\0")
    assert (result.exit_code, "['logs/b.log', 'logs/a.log']" in models.tool_results[0]) == (0, True)
    assert "stdin names no file" in llm_rlm(*ASK, "--paths-from-stdin", given="").stderr


def test_a_dry_run_shows_what_would_be_read_and_sends_nothing(serve: Serve) -> None:
    models = serve(submit("done"))
    result = llm_rlm(*ASK, "-c", "logs", "--dry-run", "--price", "chat=1,2")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["64", "logs/a.log", "(text)"]
    assert lines[2].split() == ["skipped", "logs/logo.png", "(binary)"]
    assert lines[3:] == ["2 sources, 97 bytes of text, 1 skipped", "It costs at most $1.00.", "Nothing was sent."]
    told = json.loads(llm_rlm("-m", "chat", "-c", "logs", "--dry-run", "--json").stdout)
    assert (told["bytes"], told["worst_cost"]) == (97, {"usd": None, "known": False})
    assert told["skipped"] == [{"name": "logs/logo.png", "reason": "binary"}]
    assert models.server.requests == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda: Path("logs/new.log").write_text("new"),
            "the input is not as it was .*: logs/new.log was not there then",
        ),
        (lambda: Path("logs/b.log").unlink(), "logs/b.log is gone"),
        (lambda: Path("logs/b.log").write_text("else"), "logs/b.log: text of 33 bytes then, text of 4 now"),
    ],
)
def test_a_folder_that_has_changed_cannot_be_resumed(serve: Serve, change: object, says: str) -> None:
    import re  # noqa: PLC0415 - only here

    serve(run("1"))
    assert llm_rlm(*ASK, "-c", "logs", "--max-turns", "2").exit_code == 3
    assert callable(change)
    change()
    assert re.search(says, llm_rlm("resume", "last", "--max-turns", "9").stderr)


def test_a_run_over_a_folder_goes_on_from_another_folder(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(run("n = len(context['logs/b.log'])"))
    assert llm_rlm(*ASK, "-c", "logs", "--max-turns", "2").exit_code == 3
    monkeypatch.chdir(tmp_path)
    serve(run("submit(n)"))
    result = llm_rlm("resume", "last", "--max-turns", "9")
    assert (result.exit_code, result.stdout) == (0, "33\n")


def test_of_many_files_only_those_that_code_went_through_are_read(serve: Serve, folder: Path) -> None:
    for number in range(300):
        text = " ".join(f"{number * prime:012}" for prime in (7919, 104729, 15485863))
        (folder / "logs" / f"{number:03}.log").write_text(text)
    code = "seen = 0\nfor name, text in context.items():\n    seen += 1\n    if seen == 200: break\nprint(text)"
    serve(run(code), submit("done"))
    told = json.loads(llm_rlm(*ASK, "-c", "logs", "--json", "-q").stdout)
    coverage = {document["name"]: (document["read"], document["sent"]) for document in told["coverage"]["documents"]}
    names = sorted(coverage)
    assert [name for name in names if coverage[name][0]] == names[:200]
    assert [name for name in names if coverage[name][1]] == [names[199]]
    assert told["coverage"]["untouched"] == names[200:]
    hashes = {source["name"]: source["sha256"] for source in told["sources"]}
    assert all(hashes[name] for name in names[:200])
