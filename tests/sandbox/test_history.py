"""Variables that are brought back by running the finished cells again."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

from llm_rlm.sandbox import Past
from scripts import once, until

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from .fakes import Answering, Notebook

    type Make = Callable[..., Notebook]


# Losses


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
    os.kill(session._workers.connection.worker.pid, signal.SIGKILL)
    assert until(lambda: session._workers.connection.mailbox._events.qsize() > 0)
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
    assert session._workers.connection.why_not_ready() is None
    os.kill(session._workers.connection.worker.pid, signal.SIGKILL)
    assert until(lambda: session._workers.connection.mailbox._events.qsize() > 0)
    result = session.run_cell(4, "asked")
    assert (result.output, result.notes) == ("'re: once'\n", ())


def test_an_earlier_life_is_brought_back_after_a_loss_too(make: Make, calls: Answering) -> None:
    calls.know("once")
    result = make(past=_PAST).run_cell(4, "import os\nos._exit(1)")
    assert result.notes[1:] == ("Variables that are back as they were before this cell: asked Response[8].",)
    assert calls.began == [1, 3, 0, 3, 4, 1, 3, 0, 3]
