"""What runs cost at the command: prices, limits, the cache, going on with a run, and LLM's log."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from llm.cli import cli

from llm_rlm.testing import Reply, say
from scripts import run, submit, submit_variable

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from conftest import Serve

PRICES = ("--price", "chat=2,8,1", "--price", "responses=1,4")
ASK = ("?", "-m", "chat", "--sub-model", "responses")


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "big.log"
    path.write_text("one\ntwo\n")
    return str(path)


def llm_rlm(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["rlm", *arguments], input=given)


def costs(*replies: Reply) -> tuple[Reply, ...]:
    return tuple(
        Reply(reply.text, reply.tool_calls, input_tokens=1000, output_tokens=100, cached_tokens=400) for reply in replies
    )


def sub(_: object) -> Reply:
    return Reply("yes", input_tokens=2000, output_tokens=50)


def test_the_cost_is_of_root_model_and_sub_calls_together_with_cached_input_as_cached(serve: Serve, log: str) -> None:
    serve(*costs(run("await llm_batch(['a', 'b'])"), submit("done")), sub=sub)
    result = llm_rlm(*ASK, "-c", log, *PRICES, "--json")
    told = json.loads(result.stdout)
    # Two turns of 600 + 400 cached + 100 out at 2, 1 and 8; two calls of 2,000 + 50 out at 1 and 4; all a million.
    expected = 2 * (600 * 2 + 400 * 1 + 100 * 8) / 1e6 + 2 * (2000 * 1 + 50 * 4) / 1e6
    assert told["cost"] == {"usd": pytest.approx(expected), "known": True, "possible": 0}
    assert "$0.0092, " in result.stderr.splitlines()[-1]


def test_the_cost_of_a_model_without_a_price_is_unknown_and_never_nothing(serve: Serve, log: str) -> None:
    serve(*costs(run("await llm_query('a')"), submit("done")), sub=sub)
    result = llm_rlm(*ASK, "-c", log, "--price", "chat=2,8,1", "--json")
    assert json.loads(result.stdout)["cost"] == {"usd": None, "known": False, "possible": 0}
    assert "cost unknown (but for $0.0048)" in result.stderr


def test_a_model_that_costs_nothing_has_a_known_cost(serve: Serve, log: str) -> None:
    serve(*costs(submit("done")))
    result = llm_rlm("?", "-m", "chat", "-c", log, "--price", "chat=0,0", "--json")
    assert json.loads(result.stdout)["cost"] == {"usd": 0, "known": True, "possible": 0}


@pytest.mark.parametrize("given", [(), ("--price", "chat=1,2")])
def test_a_limit_of_cost_needs_all_prices_and_says_how_to_give_one(serve: Serve, log: str, given: tuple[str, ...]) -> None:
    models = serve(submit("done"))
    result = llm_rlm(*ASK, "-c", log, "--max-cost", "1", *given)
    assert result.exit_code == 2
    unknown = "responses" if given else "chat"
    assert f"that of {unknown} is not known: give its price with --price {unknown}=IN,OUT (USD per million" in result.stderr
    assert models.server.count == 0


def test_a_price_that_cannot_be_read_is_said_before_anything_is_sent(serve: Serve, log: str) -> None:
    models = serve(submit("done"))
    result = llm_rlm(*ASK, "-c", log, "--price", "chat=cheap")
    assert (result.exit_code, models.server.count) == (2, 0)
    assert "write MODEL=IN,OUT" in result.stderr


def test_a_price_for_a_model_that_is_not_there_is_a_mistake(serve: Serve, log: str) -> None:
    models = serve(submit("done"))
    result = llm_rlm(*ASK, "-c", log, "--price", "chta=1,2")
    assert (result.exit_code, models.server.count) == (2, 0)
    assert "--price: LLM knows no model 'chta'" in result.stderr


def test_prices_and_the_default_limit_can_be_set_once_for_all(serve: Serve, log: str, user_path: Path) -> None:
    models = serve(*costs(run("await llm_batch(['a'] * 3)"), submit("so far")), sub=sub)
    table = "".join(f"[prices.{name}]\ninput = 10\noutput = 30\n" for name in ("chat", "responses"))
    (user_path / "rlm.toml").write_text(f"max_cost = 0.5\n{table}")
    result = llm_rlm(*ASK, "-c", log)
    assert "$0.50" in models.root_requests[0].messages[0]["content"]
    assert (result.exit_code, result.stdout) == (0, "so far\n")
    assert "$0.09, " in result.stderr.splitlines()[-1]


def test_a_configuration_that_cannot_be_used_is_one_line(serve: Serve, log: str, user_path: Path) -> None:
    models = serve(submit("done"))
    (user_path / "rlm.toml").write_text("max_costs = 1")
    result = llm_rlm(*ASK, "-c", log)
    assert (result.exit_code, models.server.count) == (2, 0)
    assert "there is no key 'max_costs'" in result.stderr


def test_the_cost_stays_within_its_limit_and_the_last_turn_is_paid_from_it(serve: Serve, log: str) -> None:
    batch = run("rs = await llm_batch([f'p{i}' for i in range(200)])\nprint(len(rs.errors))")
    models = serve(*costs(batch, submit("so far")), sub=sub)
    result = llm_rlm(*ASK, "-c", log, *PRICES, "--max-cost", "0.2", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["answer"], told["finish"]) == (3, "so far", "limit")
    assert told["limit"]["kind"] == "cost"
    billed = len(models.sub_requests) * 2200e-6 + len(models.root_requests) * 2400e-6
    assert told["cost"]["usd"] == pytest.approx(billed)
    assert 0 < len(models.sub_requests) < 200
    assert billed <= 0.2
    assert f"To go on: llm rlm resume {told['run_id']} --max-cost MORE" in result.stderr


def test_a_limit_that_pays_for_no_turn_at_all_sends_nothing(serve: Serve, log: str) -> None:
    models = serve(submit("done"))
    result = llm_rlm(*ASK, "-c", log, "--max-tokens", "100")
    assert (result.exit_code, models.server.count) == (3, 0)
    assert "the limit of 100 tokens is reached, and there is no answer yet" in result.stderr


def test_tokens_stay_within_their_limit(serve: Serve, log: str) -> None:
    models = serve(*costs(run("rs = await llm_batch(['p'] * 100)"), submit("so far")), sub=sub)
    told = json.loads(llm_rlm(*ASK, "-c", log, "--max-tokens", "60000", "--json").stdout)
    assert told["limit"]["kind"] == "tokens"
    assert len(models.sub_requests) > 5
    assert told["usage"]["input"] + told["usage"]["output"] <= 60000


def test_an_answer_cut_to_keep_within_the_limit_is_a_failure_and_no_answer(serve: Serve, log: str) -> None:
    cut = Reply(
        raw_body=json.dumps(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 1,
                "model": "chat",
                "choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "half of"}}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 16384, "total_tokens": 16394},
            }
        ).encode()
    )
    models = serve(run("r = await llm_query('a')"), submit("done"), sub=lambda _: cut)
    result = llm_rlm("?", "-m", "chat", "-c", log, "--max-tokens", "90000", "--no-stream")
    assert result.exit_code == 0
    assert "the answer was cut at 16,384 tokens, to keep within the limit of the run" in models.tool_results[0]
    assert models.sub_requests[0].body["max_tokens"] == 16384


def test_without_a_limit_of_tokens_or_cost_no_answer_is_cut(serve: Serve, log: str) -> None:
    models = serve(run("r = await llm_query('a')"), submit("done"))
    llm_rlm(*ASK, "-c", log)
    assert not [request for request in models.server.requests if {"max_tokens", "max_output_tokens"} & set(request.body)]


# The cache


def test_an_answer_serves_the_next_run_that_asks_the_same_and_costs_nothing(serve: Serve, log: str) -> None:
    code = run("rs = await llm_batch(['a', 'a', 'b'])\nprint(*rs)")
    numbers = iter(range(100))
    models = serve(code, submit("done"), code, submit("done"), sub=lambda _: say(f"sample {next(numbers)}"))
    llm_rlm(*ASK, "-c", log)
    result = llm_rlm(*ASK, "-c", log, "--json", "--price", "chat=0,0", "--price", "responses=1,4")
    told = json.loads(result.stdout)
    assert len(models.sub_requests) == 3
    assert told["calls"]["total"] == told["calls"]["cached"] == 3
    assert told["cost"]["usd"] == 0
    assert "3 sub-calls (3 from the cache)" in result.stderr
    first, second = (request.tool_results[0].splitlines()[0] for request in (models.root_requests[1], models.root_requests[3]))
    assert first == second


@pytest.mark.parametrize("given", [("--no-cache",), ("--sub-option", "temperature", "0.5")])
def test_what_is_not_the_same_or_asked_for_anew_is_asked_again(serve: Serve, log: str, given: tuple[str, ...]) -> None:
    code = run("await llm_query('a')")
    models = serve(code, submit("done"), code, submit("done"))
    llm_rlm(*ASK, "-c", log)
    llm_rlm(*ASK, "-c", log, *given)
    assert len(models.sub_requests) == 2


def test_an_old_answer_does_not_serve(serve: Serve, log: str, user_path: Path) -> None:
    code = run("await llm_query('a')")
    models = serve(code, submit("done"), code, submit("done"), code, submit("done"))
    llm_rlm(*ASK, "-c", log)
    _age(user_path, days=31)
    llm_rlm(*ASK, "-c", log)
    assert len(models.sub_requests) == 2
    _age(user_path, days=31)
    (user_path / "rlm.toml").write_text("cache_days = false")
    llm_rlm(*ASK, "-c", log)
    assert len(models.sub_requests) == 2


def _age(user_path: Path, days: float) -> None:
    journal = sqlite3.connect(user_path / "rlm.db")
    journal.execute("update calls set ended = ended - ?", (days * 86_400,))
    journal.commit()
    journal.close()


def test_the_cache_is_shown_and_cleared_and_the_runs_keep_their_record(serve: Serve, log: str, user_path: Path) -> None:
    code = run("x = await llm_query('a')")
    models = serve(code, submit("done"), code, submit("done"), code, submit("done"))
    assert llm_rlm("cache").stdout == "No answers are kept.\n"
    for _ in range(2):
        llm_rlm(*ASK, "-c", log)
    today = time.strftime("%Y-%m-%d")
    assert llm_rlm("cache").stdout == f"responses: 1 answer, 6 bytes, the oldest of {today}; served 1 time\n"
    (shown,) = json.loads(llm_rlm("cache", "show", "--json").stdout)
    assert (shown["answers"], shown["hits"]) == (1, 1)
    assert llm_rlm("cache", "clear", "--older-than", "2").stdout == "0 answers will serve no more.\n"
    assert llm_rlm("cache", "clear", "-m", "chat").stdout == "0 answers will serve no more.\n"
    assert llm_rlm("cache", "clear").stdout == "1 answer will serve no more.\n"
    llm_rlm(*ASK, "-c", log)
    assert len(models.sub_requests) == 2
    journal = sqlite3.connect(user_path / "rlm.db")
    assert journal.execute("select count(*) from readable_calls where response = 'sub: a'").fetchone() == (3,)
    journal.close()


def test_an_answer_that_does_not_fit_its_schema_does_not_serve(serve: Serve, log: str) -> None:
    code = run("await llm_query('a', schema='n int')")
    models = serve(code, submit("done"), code, submit("done"), sub=lambda _: say("no number"))
    for _ in range(2):
        llm_rlm(*ASK, "-c", log)
    assert len(models.sub_requests) == 4  # each run asks once more


# Going on with a run


@pytest.mark.parametrize("command", [("resume",), ("--resume",), ("ask", "--resume")])
def test_a_run_goes_on_where_it_was_with_its_limit_raised(serve: Serve, log: str, command: tuple[str, ...]) -> None:
    models = serve(run("rs = await llm_batch([f'p{i}' for i in range(9)])"), submit("guess"), submit_variable("rs"))
    first = json.loads(llm_rlm(*ASK, "-c", log, "--max-calls", "4", "--json").stdout)
    refused = llm_rlm(*command, "last")
    assert refused.exit_code == 2
    assert "raise it with --max-calls to go on" in refused.stderr
    result = llm_rlm(*command, first["run_id"][:12], "--max-calls", "50")
    assert (result.exit_code, json.loads(result.stdout)[8]) == (0, "sub: p8")
    assert len(models.sub_requests) == 9
    again = llm_rlm(*command, "last")
    assert (again.stdout, len(models.root_requests)) == (result.stdout, 3)


def test_standard_input_is_given_again(serve: Serve) -> None:
    models = serve(run("n = len(context)"), Reply(status=400), submit_variable("n"))
    assert llm_rlm(*ASK, "-c", "-", given="four").exit_code == 1
    assert "read stdin, which is not stored: give the same input again" in llm_rlm("resume", "last").stderr
    assert "is not as it was when run" in llm_rlm("resume", "last", "-c", "-", given="five!").stderr
    assert len(models.root_requests) == 2
    assert llm_rlm("resume", "last", "-c", "-", given="four").stdout == "4\n"


def test_a_source_that_has_moved_is_named_anew(serve: Serve, log: str, tmp_path: Path) -> None:
    serve(run("n = len(context)"), Reply(status=400), submit_variable("n"))
    llm_rlm(*ASK, "-c", log)
    moved = (tmp_path / "big.log").rename(tmp_path / "moved.log")
    assert "there is no such file" in llm_rlm("resume", "last").stderr
    assert llm_rlm("resume", "last", "-c", str(moved)).stdout == "8\n"


@pytest.mark.parametrize("given", [("a question",), ("-m", "chat"), ("-s", "Be brief.")])
def test_resume_takes_no_other_question_or_model(serve: Serve, given: tuple[str, ...]) -> None:
    serve(submit("done"))
    result = llm_rlm("--resume", "last", *given)
    assert result.exit_code == 2
    assert "--resume goes on with the question, the models and the record of its run" in result.stderr


# Records


def test_the_root_models_responses_are_in_llms_log_under_the_id_of_the_run(serve: Serve, log: str) -> None:
    serve(run("await llm_query('not in the log')"), submit("done"))
    told = json.loads(llm_rlm("How many?", "-m", "chat", "-c", log, "--json").stdout)
    logged = CliRunner().invoke(cli, ["logs", "--cid", told["run_id"], "--json"])
    assert len(json.loads(logged.stdout)) == 2
    assert "not in the log" not in json.dumps([row["prompt"] for row in json.loads(logged.stdout)])
    assert "How many?" in CliRunner().invoke(cli, ["logs", "list", "-n", "0"]).stdout


def test_llm_continues_the_conversation_with_the_root_model_and_not_a_sub_call(serve: Serve, log: str) -> None:
    models = serve(run("await llm_query('a sub-call')"), submit("done"), say("and more"))
    told = json.loads(llm_rlm("How many?", "-m", "chat", "-c", log, "--json").stdout)
    result = CliRunner().invoke(cli, ["-c", "And then?", "--no-stream"])
    assert result.exit_code == 0, result.output
    asked = models.server.requests[-1]
    assert (asked.model, asked.prompt) == ("chat", "And then?")
    assert "How many?" in str(asked.messages)
    assert told["run_id"] in CliRunner().invoke(cli, ["logs", "-c", "--json"]).stdout


@pytest.mark.parametrize(
    ("off", "given", "kept"),
    [(False, (), True), (False, ("-n",), False), (True, (), False), (True, ("--log",), True), (True, ("-n", "--log"), False)],
)
def test_records_are_kept_as_llm_keeps_them(
    serve: Serve, log: str, user_path: Path, off: bool, given: tuple[str, ...], kept: bool
) -> None:
    serve(submit("done"))
    if off:
        CliRunner().invoke(cli, ["logs", "off"])
    assert llm_rlm("?", "-m", "chat", "-c", log, *given).stdout == "done\n"
    assert ((user_path / "rlm.db").exists(), (user_path / "logs.db").exists()) == (kept, kept)


def test_llms_log_may_be_another_database(serve: Serve, log: str, user_path: Path, tmp_path: Path) -> None:
    serve(submit("done"))
    llm_rlm("?", "-m", "chat", "-c", log, "-d", str(tmp_path / "other.db"))
    assert (tmp_path / "other.db").exists()
    assert not (user_path / "logs.db").exists()
    assert (user_path / "rlm.db").exists()


def test_a_log_that_cannot_be_written_is_told_of_and_costs_no_answer(serve: Serve, log: str, user_path: Path) -> None:
    serve(submit("done"))
    (user_path / "logs.db").write_text("not a database")
    result = llm_rlm("?", "-m", "chat", "-c", log)
    assert (result.exit_code, result.stdout) == (0, "done\n")
    assert "Warning: LLM's log" in result.stderr


def test_the_toolbox_keeps_no_record_after_logs_off(serve: Serve, log: str, user_path: Path) -> None:
    serve(run("1"), say("done"))
    CliRunner().invoke(cli, ["logs", "off"])
    tool = f"RLMToolbox(context_file={json.dumps(log)})"
    assert CliRunner().invoke(cli, ["-m", "chat", "-T", tool, "?", "--no-stream"]).stdout.strip() == "done"
    assert not (user_path / "rlm.db").exists()


def test_a_window_is_given_by_option_or_file_and_holds_when_the_run_is_resumed(serve: Serve, log: str, user_path: Path) -> None:
    cells = [run("print('words ' * 1_000)")] * 12
    serve(*cells, Reply(status=401, text="no key"), *cells, submit("done"))
    first = llm_rlm("?", "-m", "chat", "-c", log, "--window", "6000")
    assert first.exit_code == 1
    assert "history shortened before turn" in first.stderr
    (user_path / "rlm.toml").write_text("[windows]\nchat = 10_000_000")
    again = llm_rlm("resume", "last")
    assert again.stdout == "done\n"
    assert "history shortened before turn" in again.stderr
    unshortened = llm_rlm("?", "-m", "chat", "-c", log)
    assert "history shortened" not in unshortened.stderr


def test_llms_own_log_has_the_conversation_also_where_it_was_shortened(serve: Serve, log: str, user_path: Path) -> None:
    serve(*[run("print('words ' * 1_000)")] * 12, submit("done"))
    result = llm_rlm("?", "-m", "chat", "-c", log, "--window", "6000")
    assert result.exit_code == 0
    assert "history shortened" in result.stderr
    with closing(sqlite3.connect(user_path / "logs.db")) as db:
        assert db.execute("select count(*) from turns").fetchone() == (13,)
