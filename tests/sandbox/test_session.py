"""A session as the run sees it: limits, losses, values, the context, the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from llm_rlm.calls import CallReply
from llm_rlm.errors import SandboxError
from llm_rlm.sandbox import MissingVariableError, NotAnAnswerError, Offer, Past
from scripts import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from .fakes import Answering, Notebook

    type Make = Callable[..., Notebook]
    type MakeOffer = Callable[[bytes], Offer]


def once(condition: Callable[[], bool], act: Callable[[], None]) -> None:
    """Act when a condition has come about."""
    assert until(condition)
    act()


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
    timer = threading.Timer(1.2, calls.release, ["slow"])
    timer.start()
    result = session.run("await llm_query('hang')")
    timer.join()
    assert result.output == "'slow'\n"
    assert result.running < 0.5
    assert result.seconds > 1  # the timer began before the cell


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


# Loss and replay


def test_a_lost_worker_is_replaced_and_its_variables_are_brought_back(session: Notebook, calls: Answering) -> None:
    session.run("a = [1, 2]\nb = str(await llm_query('paid'))")
    result = session.run("import os\nprint('seen')\nos._exit(3)")
    assert (result.outcome, result.output) == ("lost", "seen\n")
    assert result.notes == (
        "The sandbox was ended: the code ended its process.",
        "Variables that are back as they were before this cell: a list[2], b str[8].",
    )
    assert session.run("a, b").output == "([1, 2], 're: paid')\n"
    assert calls.replayed() == ["paid"]


def test_code_that_cannot_be_stopped_gently_is_ended(session: Notebook) -> None:
    session.run("kept = 9")
    result = session.run("sum(range(10 ** 13))")
    assert result.outcome == "lost"
    assert result.notes[0] == "The sandbox was ended: stopped after 0.5 s, and could not be stopped more gently."
    assert session.run("kept").output == "9\n"


def test_an_interrupt_that_cost_the_worker_does_not_stop_the_replay(make: Make) -> None:
    session = make()
    session.run("import time\ntime.sleep(0.4)\nkept = 2")
    timer = threading.Timer(0.1, session.interrupt, ["stopped by the user"])
    timer.start()
    result = session.run("sum(range(10 ** 13))")
    timer.join()
    assert result.outcome == "lost"
    assert session.run("kept").output == "2\n"


def test_variables_that_cannot_be_brought_back_are_named(session: Notebook, calls: Answering) -> None:
    session.run("paid = await llm_query('once')")
    calls.forgetful = True
    result = session.run("import os\nos._exit(1)")
    assert result.notes[1:] == (
        "Variables that are gone: paid Response[8].",
        "They could not be restored: cell 1 failed when it was run again (it asked for another call than the first time).",
    )
    assert "NameError" in session.run("paid").output


def test_variables_of_a_cell_that_was_stopped_are_gone_after_a_loss_and_named(session: Notebook) -> None:
    session.run("half = 1\nwhile True: pass")
    assert "Variables that are gone: half int." in session.run("import os\nos._exit(1)").notes


def test_a_cell_that_was_interrupted_is_not_run_again(make: Make, calls: Answering) -> None:
    session = make()
    timer = threading.Thread(target=once, args=(lambda: bool(calls.held), lambda: session.interrupt("stopped by the user")))
    timer.start()
    session.run("half = 1\nawait llm_query('hang')")
    timer.join()
    assert "Variables that are gone: half int." in session.run("import os\nos._exit(1)").notes
    assert calls.began == [1, 2]


def test_a_cell_that_shows_something_else_in_the_replay_is_named(session: Notebook) -> None:
    session.run("import time\nprint(time.time_ns())")
    notes = session.run("import os\nos._exit(1)").notes
    assert notes[-1] == "Run again to restore their variables, these cells showed something else: 1."


def test_a_worker_lost_between_cells_is_replaced_before_the_next(session: Notebook) -> None:
    session.run("kept = 4")
    os.kill(session._connection.worker.pid, signal.SIGKILL)
    assert until(lambda: session._connection.mailbox._events.qsize() > 0)
    assert session.run("kept").output == "4\n"


def test_a_cell_that_could_not_begin_is_run_in_a_new_session(
    make: Make, monkeypatch: pytest.MonkeyPatch, calls: Answering
) -> None:
    monkeypatch.setattr("llm_rlm.sandbox.cell._BEGIN_LIMIT", 0.3)
    session = make()
    hog = "async def hog():\n    await asyncio.sleep(0)\n    exec('while True: pass')\n"
    session.run(f"import asyncio\n{hog}t = asyncio.create_task(hog())")
    result = session.run("'it works'")
    assert result.output == "'it works'\n"
    assert result.notes[0] == "The sandbox was ended before this cell: what an earlier cell started keeps it from answering."
    assert calls.began == [1, 2, 1, 0, 1, 2]


def test_a_cell_that_breaks_the_session_for_good_is_left_out_of_the_replay(session: Notebook, calls: Answering) -> None:
    session.run("kept = 5\npaid = str(await llm_query('once'))")
    session.run("poison = 1\nimport _eryx_async\n_eryx_async._async_state.get().futures.clear()")
    result = session.run("kept, paid, 'poison' in globals()")
    assert result.output == "(5, 're: once', False)\n"
    assert "Variables that are gone: poison int." in result.notes
    assert calls.replayed() == ["once", "once"]


def test_what_comes_before_a_cell_that_cannot_be_run_again_is_brought_back(make: Make, calls: Answering) -> None:
    calls.know("once")
    past = [*_PAST, Past(5, "await llm_query('unknown')\nlate = 1", ""), Past(6, "later = 1", "")]
    result = make(past=past).run_cell(7, "asked, 'late' in globals(), 'later' in globals()")
    assert result.output == "('re: once', False, False)\n"
    assert result.notes == (
        "Variables that are gone: all that cell 5 and those after it made.",
        "They could not be restored: cell 5 failed when it was run again (it asked for another call than the first time).",
    )


def test_the_last_value_and_the_source_of_functions_are_as_they_were_after_a_replay(session: Notebook) -> None:
    session.run("def fails():\n    return missing\n41")
    session.run("import os\nos._exit(1)")
    assert session.run("_ + 1").output == "42\n"
    assert "return missing" in session.run("fails()").output


def test_the_time_for_a_value_is_one_for_all_its_pieces(session: Notebook) -> None:
    forge = "import _eryx, time\nfrom time import sleep\nclass Slow(dict):\n    def items(self):\n        while True:\n"
    piece = '{"t": "value", "text": "x", "last": false, "kind": null, "error": null}'
    forge += f"            _eryx._eryx_report_output(0, b'{piece}')\n            sleep(0.1)\n"
    session.run(f"{forge}slow = Slow(a=1)")
    with pytest.raises(NotAnAnswerError, match="could not be turned into text"):
        session.value("slow")
    assert session.run("1 + 1").output == "2\n"


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


def test_a_cell_that_asks_about_a_random_sample_asks_the_same_when_it_is_run_again(make: Make, calls: Answering) -> None:
    session = make(seed="a")
    session.run("import random\nfor _ in range(3): await llm_query(str(random.random()))")
    session.run("drawn = [str(r) for r in await llm_batch([str(n) for n in random.sample(range(10 ** 9), 5)])]")
    asked = [request.prompt for request in calls.asked]
    assert session.run("import os\nos._exit(1)").notes[1:] == (
        "Variables that are back as they were before this cell: drawn list[5].",
    )
    assert calls.replayed() == asked


def test_what_a_stopped_cell_drew_does_not_change_what_is_drawn_in_the_replay(session: Notebook) -> None:
    session.run("import random")
    session.run("random.random()\nwhile True: pass")
    session.run("print(random.random())")
    assert not [note for note in session.run("import os\nos._exit(1)").notes if "something else" in note]


# An earlier life

_PAST = (Past(1, "import random\nasked = await llm_query('once')", ""), Past(3, "print(len(asked))\nasked", "8\n're: once'\n"))


def test_the_cells_of_an_earlier_life_are_run_again_before_the_first(make: Make, calls: Answering) -> None:
    calls.know("once")
    result = make(past=_PAST).run_cell(4, "asked")
    assert (result.output, result.notes) == ("'re: once'\n", ())
    assert (calls.began, calls.replayed()) == ([1, 3, 0, 3, 4], ["once"])


def test_a_value_of_an_earlier_life_can_be_had_at_once(make: Make, calls: Answering) -> None:
    calls.know("once")
    assert make(past=_PAST).value("asked").text == "re: once"


def test_a_random_sample_goes_on_after_an_earlier_life(make: Make) -> None:
    first, code = make(seed="a"), "import random\nprint(random.random())"
    past = [Past(number, code, first.run_cell(number, code).output) for number in (1, 2)]
    second = make(seed="a", past=past).run_cell(3, code)
    assert (second.output, second.notes) == (first.run_cell(3, code).output, ())


def test_cells_of_an_earlier_life_that_show_something_else_are_named_once(make: Make) -> None:
    session = make(past=[Past(1, "a = 1", ""), Past(2, "print(a)", "0\n")])
    assert session.run_cell(3, "a").notes == ("Run again to restore their variables, these cells showed something else: 2.",)
    assert session.run_cell(4, "a").notes == ()


def test_an_earlier_life_that_cannot_be_restored_is_gone_and_the_session_goes_on(make: Make, calls: Answering) -> None:
    session = make(past=_PAST)
    result = session.run_cell(4, "asked")
    assert "NameError" in result.output
    assert result.notes == (
        "Variables that are gone: all that earlier cells made.",
        "They could not be restored: cell 1 failed when it was run again (it asked for another call than the first time).",
    )
    assert calls.began == [1, 4]


def test_a_worker_that_is_lost_before_the_first_cell_is_replaced_without_a_word(make: Make, calls: Answering) -> None:
    calls.know("once")
    session = make(past=_PAST)
    assert session._connection.why_not_ready() is None
    os.kill(session._connection.worker.pid, signal.SIGKILL)
    assert until(lambda: session._connection.mailbox._events.qsize() > 0)
    result = session.run_cell(4, "asked")
    assert (result.output, result.notes) == ("'re: once'\n", ())


def test_an_earlier_life_is_brought_back_after_a_loss_too(make: Make, calls: Answering) -> None:
    calls.know("once")
    result = make(past=_PAST).run_cell(4, "import os\nos._exit(1)")
    assert result.notes[1:] == ("Variables that are back as they were before this cell: asked Response[8].",)
    assert calls.began == [1, 3, 0, 3, 4, 1, 3, 0, 3]


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
    worker = session._connection.worker
    session.close()
    assert not psutil.pid_exists(worker.pid)
    assert not Path(worker._directory.name).exists()
    with pytest.raises(SandboxError, match="closed"):
        session.run("1")


def test_closing_while_a_cell_runs_ends_it_and_starts_no_other_worker(make: Make, calls: Answering) -> None:
    session = make()
    closer = threading.Thread(target=once, args=(lambda: bool(calls.held), session.close))
    closer.start()
    with pytest.raises(SandboxError, match="closed"):
        session.run("await llm_query('hang')")
    closer.join()
    assert not psutil.pid_exists(session._connection.worker.pid)
    assert calls.began == [1]


_HOST = """
import os, signal
from llm_rlm.sandbox import Offer, Session
class NoCalls:
    def begin_cell(self, number): return 0
    def left(self): return {}
session = Session(Offer(), NoCalls())
session.run_cell(1, "1")
print(session._connection.worker.pid, session._connection.worker._directory.name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_the_worker_ends_with_a_host_that_was_killed_and_leaves_no_directory() -> None:
    host = subprocess.run([sys.executable, "-c", _HOST], capture_output=True, text=True, check=False)  # noqa: S603
    pid, directory = host.stdout.split()
    assert host.returncode == -signal.SIGKILL
    assert until(lambda: not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE)
    assert not Path(directory).exists()


def test_a_task_that_prints_for_ever_costs_no_variables_when_the_worker_is_lost(session: Notebook) -> None:
    session.run("kept = 1")
    session.run(
        "import asyncio\nasync def chatter():\n    while True:\n"
        "        print('still here', end=' ')\n        await asyncio.sleep(0)\n"
        "task = asyncio.create_task(chatter())\nmade = 2"
    )
    lost = session.run("import os\nos._exit(1)")
    assert lost.outcome == "lost"
    assert not [note for note in lost.notes if "gone" in note]
    assert "\n1 2\n" in session.run("print()\nprint(kept, made)").output
