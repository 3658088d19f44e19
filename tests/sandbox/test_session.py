"""A session as the run sees it: limits, losses, values, the context, the end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from llm_rlm.calls import CallReply
from llm_rlm.errors import SandboxError
from llm_rlm.sandbox import MissingVariableError, NotAnAnswerError, Offer
from scripts import once, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from .fakes import Answering, Notebook

    type Make = Callable[..., Notebook]
    type MakeOffer = Callable[[bytes], Offer]


# Limits


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "[n for n in iter(int, 1)]",
        "sum(1 for n in iter(int, 1))",
        "import time\ntime.sleep(1000)",
        "import asyncio\nawait asyncio.sleep(1000)",
        "import asyncio\nwhile True:\n    try: await asyncio.sleep(1000)\n    except BaseException: pass",
        "def forever():\n    forever_too()\ndef forever_too():\n    for n in iter(int, 1): pass\nforever()",
    ],
)
def test_a_cell_that_runs_too_long_is_stopped_and_keeps_its_variables(session: Notebook, calls: Answering, code: str) -> None:
    result = session.run(f"kept = 5\n{code}")
    assert result.outcome == "timeout"
    assert "TimeoutError: stopped after 0.5 s" in result.output
    assert session.run("kept").output == "5\n"
    assert calls.began == [1, 2]


def test_time_in_calls_is_not_counted(session: Notebook, calls: Answering) -> None:
    def answer() -> None:
        time.sleep(1.2)
        calls.release("slow")

    waiting = threading.Thread(target=once, args=(lambda: bool(calls.held), answer))
    waiting.start()
    result = session.run("await llm_query('hang')")
    waiting.join()
    assert result.output == "'slow'\n"
    assert result.running < 0.5
    assert result.seconds > 1.2


def test_spinning_while_a_call_is_open_gains_nothing(session: Notebook) -> None:
    result = session.run(
        "import asyncio\nt = asyncio.create_task(llm_query('hang'))\nwhile not t.done(): await asyncio.sleep(0)"
    )
    assert result.outcome == "timeout"


def test_a_cell_that_waits_in_a_loop_hears_the_answer(session: Notebook) -> None:
    code = "import asyncio\nt = asyncio.create_task(llm_query('a'))\nwhile not t.done(): await asyncio.sleep(0)\nt.result()"
    assert session.run(code).output == "'re: a'\n"


def test_a_task_that_never_rests_does_not_keep_the_next_cell_from_running(session: Notebook, calls: Answering) -> None:
    session.run(
        "import asyncio\nasync def spin():\n    while True: await asyncio.sleep(0)\nspinning = asyncio.create_task(spin())"
    )
    assert session.run("1 + 1").output == "2\n"
    assert calls.began == [1, 2]


@pytest.mark.parametrize(
    "work", ["while True: pass", "def f(): return [f for f in range(1000)]\nwhile f(): pass", "import time\ntime.sleep(1000)"]
)
def test_interrupt_stops_a_cell_that_computes_and_keeps_its_variables(make: Make, work: str) -> None:
    session = make()
    session.run("before = 1")
    timer = threading.Timer(0.2, session.interrupt, ["stopped by the user"])
    timer.start()
    result = session.run(f"here = 2\n{work}")
    timer.join()
    assert result.outcome == "interrupted"
    assert result.output.endswith("TimeoutError: stopped by the user\n")
    assert result.notes == ()
    assert session.run("for _ in range(1000): before += here\nbefore").output == "2001\n"


def test_interrupt_stops_a_cell_that_waits_and_keeps_its_variables(make: Make, calls: Answering) -> None:
    session = make()
    timer = threading.Thread(target=once, args=(lambda: bool(calls.held), lambda: session.interrupt("stopped by the user")))
    timer.start()
    result = session.run("kept = 3\nawait llm_query('hang')")
    timer.join()
    assert result.outcome == "interrupted"
    assert result.output.endswith("TimeoutError: stopped by the user\n")
    assert session.run("kept").output == "3\n"


@pytest.mark.parametrize(
    "code",
    [
        "sys.settrace(lambda *a: 1 / 0)",
        "sys.setprofile(lambda *a: 1 / 0)",
        "sys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)",
        "import builtins\nfor name in dir(builtins): delattr(builtins, name)",
        "import traceback\ntraceback.TracebackException = None\n1 / 0",
        "import asyncio\nasync def f(): pass\nasyncio.create_task = asyncio.gather = None",
        "import json\njson.dumps = json.JSONEncoder = json.decoder = None",
    ],
)
def test_what_a_cell_breaks_is_mended_for_the_next(session: Notebook, calls: Answering, code: str) -> None:
    session.run(f"import sys\nkept = 1\n{code}")
    assert session.run("len(str(await llm_query('a'))), kept").output == "(5, 1)\n"
    assert calls.began == [1, 2]


def test_wait_for_gives_up_on_a_call(session: Notebook) -> None:
    code = "import asyncio\ntry: await asyncio.wait_for(llm_query('hang'), 0.01)\nexcept TimeoutError: print('gave up')"
    assert session.run(code).output == "gave up\n"


def test_a_call_cancelled_before_it_was_sent_is_never_asked(session: Notebook, calls: Answering) -> None:
    session.run("import asyncio\nt = asyncio.create_task(llm_query('never'))\nawait asyncio.sleep(0)\nt.cancel()")
    session.run("await llm_query('asked')")
    assert [request.prompt for request in calls.asked] == ["asked"]


def test_more_text_than_fits_in_a_frame_reaches_the_host_in_several(make: Make, calls: Answering) -> None:
    result = make().run("rs = await llm_batch([str(n) + 'x' * 10_000_000 for n in range(9)])\nlen(rs), len(rs.errors)")
    assert result.output == "(9, 0)\n"
    assert [len(request.prompt) for request in calls.asked] == [10_000_001] * 9


# Replies and losses


def test_code_that_cannot_be_stopped_gently_is_ended(session: Notebook) -> None:
    session.run("kept = 9")
    result = session.run("sum(range(10 ** 13))")
    assert result.outcome == "lost"
    assert result.notes[0] == "The sandbox was ended: stopped after 0.5 s, and could not be stopped more gently."
    assert session.run("kept").output == "9\n"


def test_replies_that_come_after_the_worker_was_lost_are_ignored(session: Notebook, calls: Answering) -> None:
    session.run("import asyncio, os\nt = asyncio.create_task(llm_query('hang'))\nawait asyncio.sleep(0.05)\nos._exit(1)")
    calls.release("too late")
    assert session.run("await llm_query('new')").output == "'re: new'\n"


def test_a_reply_may_come_after_its_cell_and_twice(session: Notebook, calls: Answering) -> None:
    session.run("import asyncio\nt = asyncio.create_task(llm_query('hang'))")
    assert until(lambda: bool(calls.held))
    request, deliver = calls.held[0]
    deliver(CallReply(request.id, text="first"))
    deliver(CallReply(request.id, text="second"))
    assert session.run("str(await t)").output == "'first'\n"


# Values


def test_values_are_text_or_json(shared: Notebook) -> None:
    shared.run("value_text, value_list = 'a\\ud800é', [1, {'b': None}]")
    assert shared.value("value_text").text == "a\\ud800é"
    answer = shared.value("value_list")
    assert answer.is_json
    assert json.loads(answer.text) == [1, {"b": None}]


def test_a_value_of_many_megabytes_comes_in_pieces(shared: Notebook) -> None:
    shared.run("value_large = '0123456789' * 3_000_000")
    assert shared.value("value_large").text == "0123456789" * 3_000_000
    shared.run("del value_large")


def test_a_missing_variable_is_named_with_those_there_are(make: Make) -> None:
    session = make()
    session.run("there = 1")
    with pytest.raises(MissingVariableError) as caught:
        session.value("elsewhere")
    assert caught.value.names == ["there"]


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("object()", "object is not JSON"),
        ("None", "the answer is None"),
        ("float('nan')", "not JSON compliant"),
        ("(lambda deep: [deep := [deep] for _ in range(500)][-1])([])", "nested more than 100 deep"),
    ],
)
def test_a_value_that_is_no_answer_says_why(shared: Notebook, code: str, problem: str) -> None:
    shared.run(f"value_bad = {code}")
    with pytest.raises(NotAnAnswerError, match=problem):
        shared.value("value_bad")


def test_a_value_that_ends_the_worker_is_no_answer_and_the_session_goes_on(session: Notebook) -> None:
    session.run("import os\nclass Mine(dict):\n    def items(self): os._exit(1)\nmine = Mine(a=1)\nkept = 6")
    with pytest.raises(NotAnAnswerError):
        session.value("mine")
    assert session.run("kept").output == "6\n"


def test_a_value_is_had_also_where_what_a_cell_began_lets_nothing_else_run(session: Notebook) -> None:
    session.run("import asyncio\ndef spin():\n    while True: pass\nkept = 1")
    session.run("kept += 1\nasyncio.get_running_loop().call_soon(spin)")
    assert session.value("kept").text == "2"
    assert session.run("1 + 1").output == "2\n"


def test_a_name_that_is_not_there_is_missing_also_where_the_session_is_rebuilt_for_it(session: Notebook) -> None:
    session.run("kept = 1")
    session.run("import asyncio, os\nasyncio.get_running_loop().call_soon(os._exit, 1)")
    with pytest.raises(MissingVariableError):
        session.value("elsewhere")


def test_the_time_for_a_value_is_one_for_all_its_pieces(session: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_rlm.sandbox.history._REPLAY_GRACE", 0.5)
    forge = "import _eryx, time\nfrom time import sleep\nclass Slow(dict):\n    def items(self):\n        while True:\n"
    piece = '{"t": "value", "text": "x", "last": false, "kind": null, "error": null}'
    forge += f"            _eryx._eryx_report_output(0, b'{piece}')\n            sleep(0.1)\n"
    session.run(f"{forge}slow = Slow(a=1)")
    with pytest.raises(NotAnAnswerError, match="could not be turned into text"):
        session.value("slow")
    assert session.run("1 + 1").output == "2\n"


# The context


def test_without_a_context_it_is_none(shown: Callable[[str], str]) -> None:
    assert shown("print(context)") == "None\n"


def test_a_text_keeps_its_line_ends_and_replaces_what_is_not_utf8(make: Make, text_offer: MakeOffer) -> None:
    session = make(text_offer(b"a\r\nb\xff\xc3\xa9\xf0\x9f"))
    assert session.run("context").output == "'a\\r\\nb\ufffdé\ufffd'\n"


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_character_across_the_border_of_two_pieces_is_whole(make: Make, text_offer: MakeOffer, cut: int) -> None:
    text = "x" * ((1 << 20) - cut) + "😀é" + "y" * 10
    session = make(text_offer(text.encode()))
    assert session.run("len(context), context[-12:]").output == f"({len(text)}, {text[-12:]!r})\n"


def test_a_json_context_has_the_same_shape(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "context.json"
    path.write_text('[{"a": [1, null, "é"]}]', "utf-8")
    assert make(Offer("json", str(path), path.stat().st_size)).run("context").output == "[{'a': [1, None, 'é']}]\n"


def test_of_a_file_that_has_grown_only_what_was_there_is_the_context(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "growing.log"
    path.write_text("first\nsecond\n")
    offer = Offer("text", str(path), 6)
    assert make(offer).run("context").output == "'first\\n'\n"


def test_a_file_that_has_shrunk_is_an_error_at_the_start(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "shrunk.log"
    path.write_text("first\n")
    with pytest.raises(SandboxError, match="4 bytes shorter than it was when the run began"):
        make(Offer("text", str(path), 10)).run("1")


def test_a_context_that_is_not_there_is_an_error_at_once_and_again(make: Make, tmp_path: Path) -> None:
    session = make(Offer("text", str(tmp_path / "absent"), 3))
    for _ in range(2):
        with pytest.raises(SandboxError, match="could not start"):
            session.run("1")


# The end


def test_closing_ends_the_worker_and_leaves_no_directory(make: Make) -> None:
    session = make()
    session.run("1")
    worker = session._workers.connection.worker
    session.close()
    assert not psutil.pid_exists(worker.pid)
    assert not Path(worker._directory.path).exists()
    with pytest.raises(SandboxError, match="closed"):
        session.run("1")


def test_closing_while_a_cell_runs_ends_it_and_starts_no_other_worker(make: Make, calls: Answering) -> None:
    session = make()
    closer = threading.Thread(target=once, args=(lambda: bool(calls.held), session.close))
    closer.start()
    with pytest.raises(SandboxError, match="closed"):
        session.run("await llm_query('hang')")
    closer.join()
    assert not psutil.pid_exists(session._workers.connection.worker.pid)
    assert calls.began == [1]


_HOST = """
import os, signal
from llm_rlm.sandbox import Offer, Session
class NoCalls:
    def begin_cell(self, number): return 0
    def left(self): return {}
session = Session(Offer(), NoCalls())
session.run_cell(1, "1")
print(session._workers.connection.worker.pid, session._workers.connection.worker._directory.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_the_worker_ends_with_a_host_that_was_killed_and_leaves_no_directory() -> None:
    host = subprocess.run([sys.executable, "-c", _HOST], capture_output=True, text=True, check=False)  # noqa: S603
    pid, directory = host.stdout.split()
    assert host.returncode == -signal.SIGKILL
    assert until(lambda: not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE)
    assert not Path(directory).exists()
