"""`--events` and `--json`: lines and objects that keep to their schemas, of real runs of the real command."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator
from llm.cli import cli
from referencing import Registry, Resource

from event_schema import KINDS, PATH, schema
from llm_rlm import RLM
from llm_rlm.budget import Spent
from llm_rlm.cli import running
from llm_rlm.eventlines import MOST_CHARACTERS, EventLines, as_dict, name_of
from llm_rlm.events import CellFinished, TurnFinished, Warned
from llm_rlm.status import Status
from llm_rlm.testing import Reply, say
from scripts import run, scripted, submit, submit_variable, until

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Serve

RESULT: dict[str, Any] = json.loads(PATH.with_name("result.schema.json").read_text("utf-8"))
EVENTS: dict[str, Any] = json.loads(PATH.read_text("utf-8"))
PAGE = (PATH.parents[1] / "reference/events.md").read_text("utf-8")
BATCH = run("rs = await llm_batch(['a', 'b', 'c'])\nx = rs['responses']")


def check(line: dict[str, Any]) -> None:
    """Raise where a line does not keep to the schema."""
    registry: Registry[Any] = Registry().with_resource("result.schema.json", Resource.from_contents(RESULT))
    Draft202012Validator(EVENTS, registry=registry).validate(line)


def ask(log: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["rlm", "How?", "-c", str(log), "-m", "chat", *arguments])


def lines(text: str) -> list[dict[str, Any]]:
    """What was printed, each line checked."""
    told = [json.loads(line) for line in text.splitlines()]
    for line in told:
        check(line)
    return told


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "big.log"
    path.write_text("one\ntwo\n")
    return path


def test_the_schema_of_events_is_that_of_their_classes() -> None:
    assert schema() == EVENTS, "run tests/event_schema.py"


@pytest.mark.parametrize("made", [EVENTS, RESULT], ids=["events", "result"])
def test_the_schemas_are_schemas(made: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(made)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_and_each_of_its_fields_is_in_the_page(kind: type) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name_of(kind)}` |")]
    (told,) = [one for one in EVENTS["oneOf"] if one.get("title") == name_of(kind)]
    ours = {name for name in told["properties"] if not name.endswith("_chars")} - {"event", "run"}
    assert {name for name in ours if f"`{name}`" not in row} == set()


def test_the_page_says_how_much_of_a_text_is_told() -> None:
    assert f"{MOST_CHARACTERS:,} characters" in PAGE


def test_events_are_lines_of_json_the_last_of_which_is_the_result(serve: Serve, log: Path) -> None:
    serve(BATCH, submit_variable("x"), sub=lambda request: say(request.prompt * 2))
    done = ask(log, "--events", "-q")
    told = lines(done.stdout)
    assert (done.exit_code, done.stderr) == (0, "")
    assert (told[0]["event"], told[0]["version"]) == ("stream_started", 1)
    assert [line["event"] for line in told[-2:]] == ["run_finished", "result"]
    assert told[-1]["answer"] == ["aa", "bb", "cc"]
    assert [line["at"] for line in told] == sorted(line["at"] for line in told)
    assert {line["run"] for line in told[1:-1] if line["run"] is not None} == {told[-1]["run_id"]}
    assert Counter(line["event"] for line in told)["call_finished"] == 3


def test_the_last_line_has_all_that_json_has(serve: Serve, log: Path) -> None:
    serve(submit("done"))
    alone = json.loads(ask(log, "--json", "-q").stdout)
    last = lines(ask(log, "--events", "-q").stdout)[-1]
    assert last.keys() - alone.keys() == {"event", "at"}
    assert last["answer"] == alone["answer"] == "done"


def test_the_schema_of_the_result_knows_every_field_of_it(serve: Serve, log: Path) -> None:
    serve(run("submit('x', quotes=['two', 'three'])"))
    told = json.loads(ask(log, "--json", "-q", "--cite").stdout)
    strict = json.loads(json.dumps(RESULT).replace('"type": "object"', '"type": "object", "additionalProperties": false'))
    Draft202012Validator(strict).validate(told)
    assert len(told["citations"]) == 2


def test_events_of_a_child_and_of_the_cache_keep_to_the_schema(serve: Serve, log: Path) -> None:
    child = [run("await rlm_query('And?', 'part')"), submit("the child's")]
    serve(BATCH, *child, submit("ok"), run("await llm_batch(['a', 'd'])"), submit("ok"))
    first = lines(ask(log, "--events", "-q").stdout)
    assert [line["parent"] is None for line in first if line["event"] == "run_started"] == [True, False]
    second = lines(ask(log, "--events", "-q").stdout)
    assert Counter(line["state"] for line in second if line["event"] == "call_finished") == {"cached": 1, "answered": 1}


def test_a_limit_is_in_the_last_event_and_in_the_result(serve: Serve, log: Path) -> None:
    serve(run("await llm_batch(['e', 'f'])"), submit("ok"))
    done = ask(log, "--events", "-q", "--max-calls", "1")
    finished, result = lines(done.stdout)[-2:]
    assert (done.exit_code, finished["limit"], result["limit"]["kind"]) == (3, "calls", "calls")


def test_a_run_that_fails_has_its_result_as_well(serve: Serve, log: Path) -> None:
    serve(Reply(status=400, text="no such thing"))
    done = ask(log, "--events", "-q")
    told = lines(done.stdout)
    assert (done.exit_code, told[-1]["finish"], told[-1]["answer"]) == (1, "error", None)
    assert [line["event"] for line in told[-3:-1]] == ["turn_failed", "run_finished"]


def test_before_there_is_a_run_an_error_is_a_line_on_stderr_only(log: Path) -> None:
    done = CliRunner().invoke(cli, ["rlm", "How?", "-c", str(log), "-m", "no-such-model", "--events"])
    assert (done.exit_code, "no-such-model" in done.stderr) == (2, True)
    assert "result" not in {line["event"] for line in lines(done.stdout)}


@pytest.mark.parametrize("other", ["--json", "--dry-run"])
def test_stdout_is_one_thing_only(log: Path, other: str) -> None:
    done = ask(log, "--events", other)
    assert (done.exit_code, done.stdout) == (2, "")


def test_a_chat_tells_each_question_and_its_result(serve: Serve, log: Path) -> None:
    serve(submit("a"), submit("b"))
    done = CliRunner().invoke(cli, ["rlm", "chat", "-c", str(log), "-m", "chat", "--events", "-q"], input="One?\nTwo?\n")
    told = lines(done.stdout)
    assert [line["answer"] for line in told if line["event"] == "result"] == ["a", "b"]
    assert [line["event"] for line in told].count("stream_started") == 1
    assert told[-1]["event"] == "result"


def test_a_reader_that_goes_away_stops_the_run_and_nothing_is_lost(serve: Serve, log: Path) -> None:
    serve(run("import time\nfor n in range(100):\n    await llm_query(str(n))\n    time.sleep(0.05)"), submit("so far"))
    command = [sys.executable, "-m", "llm", "rlm", "How?", "-c", str(log), "-m", "chat", "--events"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603
    assert process.stdout is not None
    assert process.stderr is not None
    check(json.loads(process.stdout.readline()))
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 130
    assert "Stopping, nobody reads the events any more" in said
    assert "Traceback" not in said
    assert "BrokenPipe" not in said
    done = CliRunner().invoke(cli, ["rlm", "resume", "last", "-q", "--json"])
    assert json.loads(done.stdout)["finish"] in {"interrupted", "submitted", "limit"}


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
def test_a_ctrl_c_while_nobody_reads_the_end_of_a_run_aborts_and_says_how_to_go_on(
    serve: Serve, log: Path, tmp_path: Path
) -> None:
    serve(run("rs = await llm_batch(['p' * 9000 + str(n) for n in range(20)])"), submit("done"))
    command = [sys.executable, "-m", "llm", "rlm", "How?", "-c", str(log), "-m", "chat", "--events"]
    said = tmp_path / "said"
    with said.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)  # noqa: S603
    assert process.stdout is not None
    with process.stdout:
        assert until(lambda: "2 turns, 20 sub-calls, " in said.read_text(), 60)
        assert until(lambda: interrupted(process), 60)
        assert process.returncode == 130
    assert "\nAborted. To go on: llm rlm resume " in said.read_text()


def test_a_ctrl_c_before_the_result_is_written_tells_of_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    display = running.Display(Status(quiet=True, verbose=False), None)
    result = RLM(scripted(submit("done"))).ask("How?", "x")
    monkeypatch.setattr(display.status, "closing", pressed)
    with pytest.raises(KeyboardInterrupt) as raised:
        running.report(result, display, {})
    assert raised.value.args == (result,)


def interrupted(process: subprocess.Popen[bytes]) -> bool:
    """Press Ctrl-C, and see whether that was the end: one that comes before the run waits for its reader only stops it."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    return process.returncode is not None


# Lines


def test_a_long_text_is_cut_and_its_length_told() -> None:
    told = as_dict(CellFinished("r", 1, "x" * (MOST_CHARACTERS + 1), 99_999, "ok", 0.1, 0.2))
    assert (len(told["output"]), told["output_chars"], told["total"]) == (MOST_CHARACTERS, MOST_CHARACTERS + 1, 99_999)


def test_a_line_is_ascii_whatever_a_text_holds() -> None:
    stream = io.StringIO()
    events = EventLines(stream, clock=lambda: 1.5)
    events(TurnFinished("r", 1, "a\u202eb\x1b[31m\ud800\u2028\n", Spent()))
    events.flush()
    assert stream.getvalue().isascii()
    assert stream.getvalue().count("\n") == 2
    assert json.loads(stream.getvalue().splitlines()[1])["text"] == "a\u202eb\x1b[31m\ud800\u2028\n"


def test_each_line_is_there_at_once() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream, os.fdopen(read) as reader:
        EventLines(stream)(Warned("r", "look"))
        assert [json.loads(reader.readline())["event"] for _ in range(2)] == ["stream_started", "warned"]


def test_a_reader_that_does_not_read_is_waited_for_as_long_as_is_asked() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader:
        late = threading.Thread(target=reader.read)
        with os.fdopen(write, "w") as stream:
            events = EventLines(stream)
            for _ in range(20):
                events(Warned("r", "much " * 2000))
            events.flush(0.1)
            assert events.is_gone
            late.start()
        late.join()


def test_it_is_told_once_and_even_late_that_nobody_reads() -> None:
    read, write = os.pipe()
    os.close(read)
    told: list[str] = []
    with os.fdopen(write, "w", closefd=False) as stream:
        events = EventLines(stream)
        events(Warned("r", "one"))
        events.flush()
        events.when_gone(lambda: told.append("gone"))
        events(Warned("r", "two"))
        events.flush()
        assert (events.is_gone, told) == (True, ["gone"])
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, write)
        os.close(nowhere)
    os.close(write)
