"""What the command reads, and where it says that an answer came from."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner
from llm.cli import cli

from llm_rlm import RLM
from llm_rlm.cli import rlm
from llm_rlm.cli.running import _missed
from llm_rlm.errors import SandboxError
from llm_rlm.runs.result import Coverage, Share
from llm_rlm.testing import call
from scripts import run, scripted, submit

if TYPE_CHECKING:
    from collections.abc import Callable

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
    assert (told["untouched"], told["complete"]) == ([], True)


def test_too_little_coverage_is_exit_code_3_with_the_documents_named(serve: Serve) -> None:
    steps = run("context['logs/a.log'] and None"), submit("done")
    serve(*steps)
    result = llm_rlm(*ASK, "-c", "logs", "--min-coverage", "95%")
    assert (result.exit_code, result.stdout) == (3, "done\n")
    assert "--min-coverage 95%: only 65.9% of the input was touched; too little of logs/b.log" in result.stderr
    serve(*steps)
    assert llm_rlm(*ASK, "-c", "logs/a.log", "--min-coverage", "0.95").exit_code == 0
    assert "--min-coverage 99.99%: only" in llm_rlm(*ASK, "-c", "logs", "--min-coverage", "99.99%").stderr


def test_a_coverage_that_is_a_little_too_small_is_not_said_to_be_what_was_wanted() -> None:
    coverage = Coverage((Share("f", 100_000, 94_996, 0, 94_996),))
    result = replace(RLM(scripted(submit("done"))).ask("?", "x"), coverage=coverage)
    assert _missed(result, 0.95) == "--min-coverage 95%: only 94.9% of the input was touched; too little of f"


def test_what_there_was_no_time_for_is_said_and_fails_no_run(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_rlm.runs.evidence._PATIENCE", -1.0)
    steps = run("await llm_query('Read: ' + context['logs/a.log'])"), submit("done")
    serve(*steps)
    result = llm_rlm(*ASK, "-c", "logs/a.log", "-c", "logs/b.log", "--min-coverage", "60%", "--json")
    told = json.loads(result.stdout)["coverage"]
    assert (told["complete"], told["sent"], told["read"], result.exit_code) == (False, 0.0, 0.6598, 0)
    line = "66% of the input was read by code, at least 0% reached a model (there was no time to look for all of it)"
    assert line in result.stderr
    again = llm_rlm("resume", "last", "--json")
    assert (json.loads(again.stdout)["coverage"], line in again.stderr) == (told, True)
    assert llm_rlm("resume", "last", "--min-coverage", "70%").exit_code == 3


def test_quotes_of_an_answer_that_is_json_do_not_stand_in_it(serve: Serve) -> None:
    serve(run("submit({'n': 1}, quotes=['line b'])"))
    result = llm_rlm(*ASK, "-c", "logs/b.log", "--cite")
    assert json.loads(result.stdout) == {"n": 1}
    assert '"line b"' in result.stderr


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


@pytest.mark.parametrize("arguments", [("-c", "-"), (), ("--paths-from-stdin",)])
def test_a_stdin_that_is_closed_is_said_to_be(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(click.UsageError, match="stdin is closed: give the input with -c FILE"):
        rlm.commands["ask"].main([*ASK, "--dry-run", *arguments], standalone_mode=False)


@pytest.mark.usefixtures("serve")
def test_a_listed_path_is_a_path_whatever_it_looks_like(folder: Path) -> None:
    for name in ("-", "~"):
        (folder / name).write_text("text")
    result = llm_rlm("--paths-from-stdin", "--dry-run", "--json", given=b"-\n~\n")
    assert [source["name"] for source in json.loads(result.stdout)["sources"]] == ["-", "~"]


def test_a_dry_run_says_what_was_made_and_from_which_encoding(folder: Path) -> None:
    (folder / "wide.txt").write_bytes("wide\n".encode("utf-16"))
    (folder / "small.log.gz").write_bytes(gzip.compress(b"small\n"))
    lines = llm_rlm("-c", "wide.txt", "-c", "small.log.gz", "-c", "logs/b.log", "--dry-run").stdout.splitlines()
    assert [line.partition("  (")[2] for line in lines[:3]] == ["text, from utf-16)", "text, unpacked or converted)", "text)"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: path.unlink(), "b.log was there when the run began and cannot be read now"),
        (lambda path: path.write_text("less"), "b.log is shorter than it was when the run began: 29 bytes are gone"),
    ],
)
def test_a_text_that_is_gone_before_it_was_loaded_is_named(
    serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object], says: str
) -> None:
    def fail(*_: object) -> None:
        change(folder / "logs" / "b.log")
        message = "the sandbox could not start: OSError"
        raise SandboxError(message)

    monkeypatch.setattr("llm_rlm.sandbox.Session.run_cell", fail)
    serve(run("1"))
    result = llm_rlm(*ASK, "-c", "logs/b.log", "--json")
    assert (result.exit_code, says in json.loads(result.stdout)["error"]) == (1, True)


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
