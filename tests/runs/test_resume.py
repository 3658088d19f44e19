"""A run that ended before its time goes on from where it was, and nothing is paid twice."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from llm_rlm import RLM, Limits, Rate, RLMToolbox, RunFailedError, Settings, UsageError
from llm_rlm.context import Sources
from llm_rlm.events import CellStarted
from llm_rlm.journal import Journal
from llm_rlm.testing import Reply, Request, say
from scripts import run, scripted, submit, submit_variable

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from conftest import Serve
    from llm_rlm.events import Event

BATCH = 'rs = await llm_batch([f"p{i}" for i in range(20)])\nprint(len(rs.errors), "failed", str(rs["responses"][7])[:20])'
both_apis = pytest.mark.parametrize("api", ["chat", "responses"])


def resume(run_id: str = "last", context: Any = None, **limits: Any) -> Any:
    engine = RLM.of_run(run_id)
    return replace(engine, limits=replace(engine.limits, **limits)).resume(run_id, context)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "big.log"
    path.write_text("one\ntwo\n")
    return path


@both_apis
@pytest.mark.parametrize("stream", [True, False])
def test_a_run_goes_on_after_a_limit_that_is_raised_as_if_it_had_not_met_it(
    serve: Serve, log: Path, api: str, stream: bool
) -> None:
    models = serve(run("x = len(context)\nprint(x)"), run(BATCH), submit("a guess"), submit_variable("x"))
    first = RLM(api, limits=Limits(calls=12), stream=stream).ask("How long?", log)
    assert (first.finish, first.answer, len(models.sub_requests)) == ("limit", "a guess", 12)
    second = resume(first.run_id, calls=100)
    assert (second.finish, second.answer, second.run_id) == ("submitted", 8, first.run_id)
    assert sorted(request.prompt for request in models.sub_requests) == sorted(f"p{i}" for i in range(20))
    assert (second.usage.calls, second.usage.turns, second.usage.cached) == (20, 4, 0)
    told = [message for message in models.root_requests[3].messages if message["role"] == "tool"]
    assert [text["content"].splitlines()[0] for text in told] == ["8", "0 failed sub: p7"]
    assert "last turn" not in str(models.root_requests[3].messages)


def test_a_limit_that_is_not_raised_is_an_error_that_names_it(serve: Serve, log: Path) -> None:
    models = serve(run(BATCH), submit("a guess"))
    first = RLM("chat", limits=Limits(calls=12)).ask("?", log)
    with pytest.raises(UsageError, match=f"run {first.run_id} has reached its limit of 12 calls: raise it with --max-calls"):
        resume()
    assert len(models.root_requests) == 2


def test_a_finished_run_gives_its_result_and_asks_nothing(serve: Serve, log: Path) -> None:
    models = serve(run("x = [1, 2]"), run("await llm_query('hi')"), submit_variable("x"))
    first = RLM("chat").ask("?", log)
    asked = models.server.count
    again = resume(first.run_id[:20])
    assert models.server.count == asked
    assert (again.answer, again.finish, again.usage) == ([1, 2], "submitted", first.usage)
    assert again.sources == first.sources


@both_apis
def test_a_run_goes_on_after_its_root_model_has_failed(serve: Serve, log: Path, api: str) -> None:
    models = serve(run("x = await llm_query('hi')"), Reply(status=401, text="no key"), submit_variable("x"))
    with pytest.raises(RunFailedError, match="no key"):
        RLM(api).ask("What?", log)
    result = resume()
    assert (result.answer, result.finish, len(models.sub_requests)) == ("sub: hi", "submitted", 1)
    before, after = models.root_requests[1], models.root_requests[2]
    assert [message["role"] for message in after.messages] == [message["role"] for message in before.messages]


def test_variables_come_back_without_a_call_also_those_that_were_drawn_at_random(serve: Serve, log: Path) -> None:
    draw = "import random\nn = random.randrange(10**9)\nr = await llm_query(f'about {n}')"
    models = serve(run(draw), Reply(status=401), run("print(r, n)"), submit_variable("n"))
    with pytest.raises(RunFailedError):
        RLM("chat").ask("?", log)
    result = resume()
    (asked,) = [request.prompt for request in models.sub_requests]
    assert asked == f"about {result.answer}"


def test_a_stopped_run_goes_on_with_the_cell_that_was_stopped(serve: Serve, log: Path) -> None:
    from llm_rlm.runs.asking import begin  # noqa: PLC0415 - what the command uses

    hang = threading.Event()

    def sub(request: Request) -> Reply:
        if request.prompt == "slow" and not hang.is_set():
            hang.set()
            return Reply(fault="stall")
        return say(f"sub: {request.prompt}")

    code = "a = await llm_query('quick')\nb = await llm_query('slow')"
    models = serve(run(code), submit("so far"), run("print(a, b)"), submit_variable("b"), sub=sub)
    asking = begin(RLM("chat"), "?", log)

    def stop() -> None:
        hang.wait(20)
        asking.stop("the user stopped the run")

    threading.Thread(target=stop).start()
    first = asking.finish()
    assert (first.finish, first.answer) == ("interrupted", "so far")
    second = resume()
    assert (second.finish, second.answer) == ("submitted", "sub: slow")
    assert [request.prompt for request in models.sub_requests] == ["quick", "slow", "slow"]
    assert second.usage.unsettled == 1


def test_a_run_goes_on_with_the_cell_that_computed_when_it_was_stopped(log: Path) -> None:
    from llm_rlm.runs.asking import begin  # noqa: PLC0415 - what the command uses

    def watch(event: Event) -> None:
        if isinstance(event, CellStarted):
            begun.append(event.number)
            if len(begun) == 1:
                threading.Timer(0.1, lambda: asking.stop("the user stopped the run")).start()

    begun: list[int] = []
    asking = begin(RLM(scripted(run("while True: pass"), "so far")), "?", log, watch)
    first = asking.finish()
    assert (first.finish, first.answer, begun) == ("interrupted", "so far", [1])
    again = RLM(scripted(submit("done")), settings=Settings(cell_limit=0.1))
    assert again.resume(first.run_id, observer=watch).answer == "done"
    assert begun == [1, 1]


def test_a_turn_limit_that_is_raised_asks_the_last_turn_again(serve: Serve, log: Path) -> None:
    models = serve(run("x = 1"), say("about one"), run("x + 1"), submit_variable("x"))
    assert RLM("chat", limits=Limits(turns=2)).ask("?", log).finish == "limit"
    result = resume(turns=10)
    assert (result.answer, result.finish, result.usage.turns) == (1, "submitted", 4)
    assert "about one" not in str(models.root_requests[2].messages)


def test_what_the_root_model_was_asked_before_is_not_forgotten(serve: Serve, log: Path) -> None:
    models = serve(say("hm"), run("x = 1"), Reply(status=401), say("the end"))
    with pytest.raises(RunFailedError):
        RLM("chat").ask("?", log)
    result = resume()
    assert (result.answer, result.finish) == ("the end", "prose")
    assert len(models.root_requests) == 4


def test_a_changed_source_is_an_error_that_names_it(serve: Serve, log: Path) -> None:
    models = serve(run("1"), Reply(status=401))
    with pytest.raises(RunFailedError):
        RLM("chat").ask("?", log)
    asked = models.server.count
    log.write_text("one\nTWO\n")
    with pytest.raises(UsageError, match=r"big.log is not as it was when run \w+ read it: its content has changed"):
        resume()
    log.write_text("longer than before")
    with pytest.raises(UsageError, match="text of 8 bytes then, text of 18 now"):
        resume()
    log.unlink()
    with pytest.raises(UsageError, match="there is no such file"):
        resume()
    assert models.server.count == asked


def test_what_nobody_has_touched_nor_hashed_may_have_been_written_to(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_rlm.runs.evidence.Evidence._is_for_touched_only", lambda _: True)
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.log", "b.log"):
        (folder / name).write_text(f"text of {name}")
    serve(run("[context[name] for name in context if name.endswith('a.log')] and None"), Reply(status=401))
    with pytest.raises(RunFailedError):
        RLM("chat").ask("?", Sources((str(folder),)))
    os.utime(folder / "b.log", ns=(1, 1))
    serve(submit("done"))
    assert resume().answer == "done"


def test_a_value_is_to_be_given_again_and_has_to_be_the_same(serve: Serve) -> None:
    serve(run("n = len(context)"), Reply(status=401), submit_variable("n"))
    with pytest.raises(RunFailedError):
        RLM("chat").ask("?", ["a", "b"])
    with pytest.raises(UsageError, match="is not stored: give the same input again with -c"):
        resume()
    with pytest.raises(UsageError, match="its content has changed"):
        resume(context=["a", "c"])
    assert resume(context=["a", "b"]).answer == 2


def _own(owner: str, db: sqlite3.Connection) -> None:
    db.execute("update runs set process = ?", (owner,))


def test_a_run_that_another_process_has_is_left_alone(serve: Serve, log: Path, user_path: Path) -> None:
    import psutil  # noqa: PLC0415 - to name a process that lives

    from llm_rlm.journal.owner import claim  # noqa: PLC0415

    serve(run("1"), Reply(status=401), submit("done"))
    with pytest.raises(RunFailedError):
        RLM("chat").ask("?", log)
    journal = Journal(user_path / "rlm.db")
    parent = psutil.Process().parent()
    assert parent is not None
    host = claim().split(":")[0]
    for owner in (f"{host}:{parent.pid}:{parent.create_time():.2f}", f"{host}:{parent.pid}:1.00"):
        journal.write(partial(_own, owner))
        if owner.endswith(":1.00"):
            assert resume().answer == "done"
        else:
            with pytest.raises(UsageError, match=f"is still going on, in process {parent.pid}"):
                resume()
    journal.close()


@pytest.mark.parametrize(
    ("name", "says"),
    [("nothing", "there is no run 'nothing'"), ("0", "there is no run '0'"), ("%", "there is no run '%'")],
)
def test_a_run_that_is_not_there_is_an_error(serve: Serve, log: Path, name: str, says: str) -> None:
    with pytest.raises(UsageError, match="the journal has no run yet"):
        resume(name)
    serve(submit("done"))
    RLM("chat").ask("?", log)
    with pytest.raises(UsageError, match=says):
        resume(name)


def test_a_run_of_other_models_is_not_gone_on_with(serve: Serve, log: Path) -> None:
    serve(run("1"), Reply(status=401))
    with pytest.raises(RunFailedError):
        RLM("chat").ask("?", log)
    with pytest.raises(UsageError, match="was asked of chat, not of responses: go on with the same models"):
        RLM("responses").resume("last")


def test_turns_that_were_paid_after_a_limit_was_raised_hold_when_the_run_is_resumed_again(serve: Serve, log: Path) -> None:
    replies = (run("rs = await llm_batch(['a', 'b', 'c'])"), submit("guess"), run("x = 1"), Reply(status=401), submit("done"))
    models = serve(*replies)
    RLM("chat", limits=Limits(calls=2)).ask("?", log)
    with pytest.raises(RunFailedError):
        resume(calls=10)
    assert resume().answer == "done"
    assert [message["role"] for message in models.root_requests[-1].messages].count("tool") == 2
    assert len(models.root_requests) == 5


def test_an_answer_that_a_cell_has_submitted_is_the_answer_and_nobody_is_asked_again(
    serve: Serve, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = serve(run("submit(['forty', 2])"), submit("other"))
    with monkeypatch.context() as patch:
        patch.setattr("llm_rlm.runs.run.Run._record_end", lambda *_: None)  # as if it had been killed before that
        RLM("chat").ask("?", log)
    result = resume()
    assert (result.answer, result.finish, len(models.root_requests)) == (["forty", 2], "submitted", 1)


def test_the_root_model_is_told_which_cells_do_not_come_back(serve: Serve, log: Path) -> None:
    models = serve(run("x = 5\nwhile True: pass"), run("y = 6"), Reply(status=401), run("print(y)"), submit_variable("y"))
    engine = RLM("chat", settings=Settings(cell_limit=0.5))
    with pytest.raises(RunFailedError):
        engine.ask("?", log)
    assert resume().answer == 6
    assert "what cells that had to be stopped have made is gone (cells 1)" in models.tool_results[2]


def test_a_run_that_goes_on_in_this_process_is_not_gone_on_with_twice(serve: Serve, log: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def sub(_: Request) -> Reply:
        begun.set()
        return Reply("yes", delay=0 if go_on.is_set() else 1.0)

    models = serve(run("x = str(await llm_query('a'))"), submit_variable("x"), sub=sub)
    results: list[Any] = []
    asking = threading.Thread(target=lambda: results.append(RLM("chat").ask("?", log)))
    asking.start()
    begun.wait(20)
    with pytest.raises(UsageError, match="is still going on, in process"):
        resume()
    go_on.set()
    asking.join(20)
    assert (results[0].answer, len(models.sub_requests)) == ("yes", 1)


def test_the_time_between_two_lives_of_a_run_is_not_its_own(serve: Serve, log: Path, user_path: Path) -> None:
    serve(run("1"), Reply(status=401), Reply(status=401), submit("done"))
    with pytest.raises(RunFailedError):
        RLM("chat").ask("?", log)
    journal = Journal(user_path / "rlm.db")
    journal.write(
        lambda db: db.execute("update runs set started = started - 86400, life = life - 86400, ended = ended - 86400")
    )
    journal.close()
    with pytest.raises(RunFailedError):
        resume()
    assert resume().seconds < 3600


def test_answers_of_unknown_cost_stay_so_and_count_when_the_run_goes_on(serve: Serve, log: Path) -> None:
    silent = Reply("yes", input_tokens=0, output_tokens=0)
    serve(run("await llm_query('a')"), Reply(status=401), submit("x"), sub=lambda _: silent)
    priced = RLM("chat", prices={"chat": Rate(1, 1)}, limits=Limits(cost=5.0))
    with pytest.raises(RunFailedError) as caught:
        priced.ask("?", log)
    first, second = caught.value.result, resume()
    assert (first.cost, first.usage.unpriced) == (None, 1)
    assert (second.cost, second.usage.unpriced) == (None, 1)


def test_what_another_version_has_recorded_besides_does_not_keep_a_run_from_going_on(
    serve: Serve, log: Path, user_path: Path
) -> None:
    serve(run("1"), Reply(status=401), submit("done"))
    with pytest.raises(RunFailedError):
        RLM("chat").ask("?", log)
    journal = Journal(user_path / "rlm.db")
    journal.write(
        lambda db: db.execute("update runs set settings = json_set(settings, '$.colour', 'red', '$.limits.moons', 3)")
    )
    journal.close()
    assert resume().answer == "done"


def test_a_run_that_llms_own_chain_has_driven_is_not_resumed(log: Path) -> None:
    with RLMToolbox(context_file=str(log), sub_model=scripted("yes")) as toolbox:
        toolbox.execute_python("x = 1")
    for go_on in (resume, RLM(scripted("no")).resume):
        with pytest.raises(UsageError, match="was driven by LLM's own chain or by cells of yours, and cannot be resumed"):
            go_on("last")


def test_a_run_that_goes_on_is_recorded_whatever_the_engine_says(serve: Serve, log: Path) -> None:
    serve(run("1"), Reply(status=401), submit("done"))
    with pytest.raises(RunFailedError):
        RLM("chat").ask("?", log)
    assert replace(RLM.of_run("last"), log=False).resume("last").answer == "done"
    assert resume().answer == "done"
