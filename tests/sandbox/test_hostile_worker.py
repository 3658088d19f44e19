"""The host's side of the protocol, whatever comes over the pipe: a result or a documented error, in time and in bounds."""

from __future__ import annotations

import json
import math
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from llm_rlm.errors import SandboxError
from llm_rlm.sandbox import (
    Answer,
    MissingVariableError,
    NoHelpers,
    NotAnAnswerError,
    Offer,
    client,
    connection,
    errand,
    mailbox,
    pending,
    unpacked,
)
from llm_rlm.sandbox.client import check
from llm_rlm.sandbox.connection import Connection
from llm_rlm.sandbox.frames import GUEST, WORKER, FrameError
from scripts import until

from .fakes import Answering, Notebook
from .hostile import READY, Puppets, done, framed, never_reads, speaks_only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_OUTPUT = 2000
_OWN = {"llm-rlm-sandbox", "llm-rlm-sandbox-end", "llm-rlm-questions"}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_TEXT = st.text(max_size=8) | st.just("\ud800\x1b[31m")
_NUMBERS = (
    st.integers(0, 3)
    | st.sampled_from([-1, (1 << 64) - 1, 1 << 64, 1 << 200, True])
    | st.just(4000).map(lambda digits: 10**digits)
)
_FLOATS = st.floats(allow_nan=False) | st.just(0.5)
_CALL = st.fixed_dictionaries({"id": _NUMBERS, "prompt": st.just("PROMPT")}) | st.fixed_dictionaries(
    {"id": _JSON, "prompt": _JSON}, optional={"kind": _JSON, "attachments": _JSON, "schema": _JSON, "payload": _JSON}
)
_VARIABLE = st.tuples(_TEXT, _TEXT, st.none() | _NUMBERS).map(list)
_FRAMES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "ready": {},
    "begun": {"key": st.sampled_from(["KEY", "another"])},
    "out": {"text": _TEXT | st.just("x" * 3000)},
    "calls": {"calls": st.lists(_CALL, max_size=4)},
    "touched": {"documents": st.lists(_JSON, max_size=3)},
    "ask": {"n": _NUMBERS, "name": _TEXT, "arguments": st.dictionaries(_TEXT, _JSON, max_size=2)},
    "submit": {"text": _TEXT, "last": st.booleans(), "kind": _JSON, "quotes": st.lists(_JSON, max_size=3)},
    "value": {"text": _TEXT, "last": st.booleans(), "kind": _JSON, "error": _TEXT, "names": st.lists(_JSON, max_size=3)},
    "done": {
        "key": st.sampled_from(["KEY", "another"]),
        "error": st.sampled_from([None, "error", "exit", "timeout", "lost", "\ud800"]),
        "tail": _TEXT | st.just("y" * 5000),
        "total": _NUMBERS,
        "running": _FLOATS,
        "variables": st.lists(_VARIABLE | _JSON, max_size=3),
    },
    "broken": {"reason": _TEXT},
    "ended": {"reason": _TEXT},
    "compiled": {"modules": _TEXT},
    "replies": {"replies": _JSON},
}
_TYPED = st.one_of([st.fixed_dictionaries({"t": st.just(kind), **fields}) for kind, fields in _FRAMES.items()])
_UNTYPED = st.dictionaries(
    st.sampled_from(["t", "key", "text", "calls", "n"]), _JSON | st.sampled_from(list(_FRAMES)), max_size=4
)
_BODIES = _TYPED | _TYPED | _UNTYPED | st.binary(max_size=20)
_SCRIPT: st.SearchStrategy[list[Any]] = st.deferred(lambda: st.lists(_BODIES, max_size=5))
_PIECES = st.one_of(
    st.tuples(_BODIES, st.sampled_from([GUEST, GUEST, WORKER])).map(lambda pair: framed(*pair)),
    st.binary(max_size=12),
    st.sampled_from([b"\0\0\0\0\0", b"\0\xff\xff\xff\xff", b"\0\x10\0\0\0{", b"\0\0\0\0\x09{}", b"\2\0\0\0\1a"]),
)


@contextmanager
def _watched() -> Iterator[None]:
    """No thread fails meanwhile, and those of ours that begin end with what they were for."""
    failed: list[object] = []
    before, hook = set(threading.enumerate()), threading.excepthook
    threading.excepthook = failed.append
    try:
        yield
        assert until(lambda: not [t for t in set(threading.enumerate()) - before if t.name in _OWN])
    finally:
        threading.excepthook = hook
    assert failed == []


@pytest.fixture(autouse=True)
def nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a puppet calls its compiled modules is not kept for real guests, and where it fails, they are not made to unpack.

    Nor does it wait for what only a guest needs.
    """
    monkeypatch.setattr(unpacked, "folder", lambda _: tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.setattr(unpacked, "forget", lambda: None)


@settings(max_examples=60)
@given(st.lists(_PIECES, max_size=6).map(b"".join))
def test_whatever_a_worker_says_at_its_start_it_is_ready_or_there_is_a_reason_why_not(data: bytes) -> None:
    calls = Answering()
    with pytest.MonkeyPatch.context() as patch, _watched():
        patch.setattr("sys.dont_write_bytecode", True)
        patch.setattr(connection, "_START_LIMIT", 20.0)
        speaks_only(data, patch)
        made = Connection([])
        try:
            made.begin({"kind": "none"}, calls, NoHelpers())
            why = made.why_not_ready()
        finally:
            made.close()
        assert why is None or 0 < len(why) < 3000
        assert calls.asked == []


@given(_BODIES.map(lambda body: body if isinstance(body, bytes) else json.dumps(body).encode()))
def test_a_frame_is_refused_or_has_the_fields_of_its_type_and_no_others(body: bytes) -> None:
    with suppress(FrameError):
        frame = check(body)
        assert set(frame) <= {"t", *client._FRAME_TYPES[frame["t"]]}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-8-sig"])
def test_a_frame_in_another_encoding_is_refused_however_many_values_it_hides(encoding: str) -> None:
    many = '{"t": "calls", "calls": ["\u2200", ' + "0, " * 1_200_000 + '"\u2200"]}'
    with pytest.raises(FrameError):
        check(many.encode(encoding))


class _Dialogue(RuleBasedStateMachine):
    """A session and a worker that says what it likes, when it likes."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr("sys.dont_write_bytecode", True)
        self._watch = _watched()
        self._watch.__enter__()
        self.calls = Answering()
        self.script: Sequence[Any] = ()
        self.ends = True
        self.replied: set[object] = set()
        self.marker = 1 << 20
        self.puppets = Puppets(self._patch, self._react)
        self.session = Notebook(Offer(), self.calls, cell_limit=0.2, output_limit=_OUTPUT)

    def teardown(self) -> None:
        self.session.close()
        self.puppets.close()
        self._patch.undo()
        self._watch.__exit__(None, None, None)

    def _react(self, frame: dict[str, Any]) -> list[bytes]:
        match frame["t"]:
            case "setup":
                return [framed(READY)]
            case "cell":
                said, self.script = self._said(frame["key"], "in a cell"), ()
                self.key = frame["key"]
                return [*said, framed(done(frame["key"]))] if self.ends else said
            case "stop":
                self.ends = True
                return [framed(done(self.key, error="timeout"))]
            case "value":
                said, self.script = self._said("", "outside"), ()
                return [*said, framed({"t": "value", "text": "1", "last": True})]
            case "replies":
                self.replied |= {reply["id"] for reply in frame["replies"]}
        return []

    def _said(self, key: str, prompt: str) -> list[bytes]:
        said = []
        for body in self.script:
            if not isinstance(body, bytes):
                said.append(
                    framed(json.dumps(body).replace('"KEY"', json.dumps(key)).replace('"PROMPT"', json.dumps(prompt)).encode())
                )
            else:
                said.append(framed(body))
        return said

    @rule(script=_SCRIPT, ends=st.sampled_from([True] * 7 + [False]))
    def run_a_cell(self, script: list[Any], ends: bool) -> None:
        self.script, self.ends = script, ends
        shown: list[str] = []
        result = self.session.run("pass", shown.append)
        assert result.outcome in {"ok", "error", "exit", "timeout", "interrupted", "lost"}
        assert len(result.output) <= 2 * _OUTPUT + 100
        assert sum(map(len, result.notes)) < 8000
        assert math.isfinite(result.running)
        assert result.running >= 0
        (result.output + "".join(map(str, result.variables)) + "".join(result.notes) + "".join(shown)).encode()
        if result.submitted is not None:
            _is_sound(result.submitted)

    @rule(script=_SCRIPT)
    def say_something_between_cells(self, script: list[Any]) -> None:
        self.script, self.marker = script, self.marker + 1
        with suppress(SandboxError):
            self.session._workers.await_ready()
        last = framed({"t": "calls", "calls": [{"id": self.marker, "prompt": "outside"}]})
        self.puppets.say(*self._said("", "outside"), last)
        now = self.session._workers.connection
        assert until(lambda: self.marker in self.replied or not now.worker._reader.is_alive())

    @rule(script=_SCRIPT)
    def ask_for_a_value(self, script: list[Any]) -> None:
        self.script = script
        with suppress(MissingVariableError, NotAnAnswerError):
            _is_sound(self.session.value("x"))

    @rule()
    def interrupt(self) -> None:
        self.session.interrupt("enough")

    @rule()
    def nothing_was_paid_that_no_cell_asked(self) -> None:
        assert {request.prompt for request in self.calls.asked if request.prompt == "outside"} == set()


def _is_sound(answer: Answer) -> None:
    answer.text.encode()
    "".join(answer.quotes).encode()
    if answer.is_json:
        json.loads(answer.text)


def test_in_whatever_order_frames_come_a_session_goes_on_and_pays_for_nothing_that_no_cell_asked() -> None:
    run_state_machine_as_test(
        _Dialogue, settings=settings(max_examples=10, stateful_step_count=10, suppress_health_check=list(HealthCheck))
    )


def test_a_worker_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    never_reads(monkeypatch)
    monkeypatch.setattr(client, "_TAKE_LIMIT", 0.3)
    with _watched():
        made = Connection([])
        made.begin({"filler": "x" * 200_000}, Answering(), NoHelpers())
        assert made.why_not_ready() == "it does not take what it is sent"
        made.close()


def test_a_worker_that_takes_no_replies_does_not_hold_up_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_TAKE_LIMIT", 3.0)  # it has to come up within it
    program = """
import os, struct, json
def read(n):
    data = b""
    while len(data) < n: data += os.read(0, n - len(data))
    return data
def take(): return read(struct.unpack(">I", read(4))[0])
def say(body): os.write(1, struct.pack(">BI", 0, len(body)) + body)
take(); take(); say(b'{"t": "ready"}'); take()
while True: say(json.dumps({"t": "calls", "calls": [{"id": 1, "prompt": "p" * 99}] * 99}).encode())
"""
    monkeypatch.setattr(errand, "_MAIN", program)
    with _watched():
        session = Notebook(Offer(), Answering(), cell_limit=30.0)
        result = session.run("pass")
        session.close()
    assert result.outcome == "lost"
    assert "it does not take what it is sent" in "".join(result.notes)


def test_a_worker_that_takes_a_little_now_and_then_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_TAKE_LIMIT", 0.5)
    monkeypatch.setattr(errand, "_MAIN", "import os, time\nwhile os.read(0, 4096): time.sleep(0.1)")
    with _watched():
        made = Connection([])
        made.worker.send({"t": "cell", "code": "x" * 1_000_000})
        assert made.why_not_ready() == "it does not take what it is sent"
        made.close()


def test_a_worker_that_says_a_little_now_and_then_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    trickle = framed({"t": "out", "text": ""})
    program = "import os, threading, time\n"
    program += "threading.Thread(target=lambda: [0 for _ in iter(lambda: os.read(0, 9999), b'')]).start()\n"
    program += f"while True:\n    os.write(1, {trickle!r})\n    time.sleep(0.05)"
    monkeypatch.setattr(errand, "_MAIN", program)
    monkeypatch.setattr(connection, "_START_LIMIT", 0.5)
    with _watched():
        made = Connection([])
        assert made.why_not_ready() == "not ready after 0.5 s"
        made.close()


def test_a_process_that_a_worker_leaves_behind_does_not_hold_up_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    left_behind = "import os\nwhile os.read(0, 65536): pass"  # has the worker's pipes, and ends when the host closes its own
    program = f"""
import os, subprocess, sys, time
os.write(1, {framed(READY)!r})
subprocess.Popen([sys.executable, "-c", {left_behind!r}])
time.sleep(60)
"""
    monkeypatch.setattr(errand, "_MAIN", program)
    monkeypatch.setattr("llm_rlm.sandbox.cell._BEGIN_LIMIT", 0.2)
    monkeypatch.setattr(client, "_PIPE_LIMIT", 0.1)
    with _watched():
        session = Notebook(Offer(), Answering())
        assert session.run("pass").outcome == "lost"
        session.close()


def test_a_value_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def react(frame: dict[str, Any]) -> Iterator[bytes]:
        if frame["t"] == "setup":
            yield framed(READY)
        while frame["t"] == "value":  # until nobody takes it any more
            time.sleep(0.02)
            yield framed({"t": "value", "text": "", "last": False})

    with _watched():
        puppets = Puppets(monkeypatch, react)
        session = Notebook(Offer(), Answering(), cell_limit=0.3)
        with pytest.raises(NotAnAnswerError):
            session.value("x")
        session.close()
        puppets.close()


_FLOODS: dict[str, Callable[[], dict[str, object]]] = {
    "output": lambda: {"t": "out", "text": "a" * 1000},
    "nothing": lambda: {"t": "out", "text": ""},
    "pieces of an answer": lambda: {"t": "submit", "text": "", "last": False},
    "answers": lambda: {"t": "submit", "text": "a", "last": True, "quotes": ["b"] * 50},
    "what no driver says": lambda: {"t": "out", "text": "", "more": [[]] * 10_000},
    "touched texts": lambda: {"t": "touched", "documents": list(range(500))},
    "readiness": lambda: READY,
    "calls": lambda: {"t": "calls", "calls": [{"id": number, "prompt": "hang" * 50} for number in range(500)]},
}


@pytest.mark.parametrize("kind", _FLOODS)
def test_a_flood_costs_a_bounded_memory_and_the_cell_ends(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flood = framed(_FLOODS[kind]())
    program = f"""
import os
os.write(1, {framed(READY)!r})
seen = b""
while b'"cell"' not in seen: seen = seen[-9:] + os.read(0, 65536)
import threading
def take():
    while os.read(0, 65536): pass
threading.Thread(target=take, daemon=True).start()
os.write(1, {framed({"t": "calls", "calls": [{"id": 1 << 30, "prompt": "hang"}]})!r})
flood = {flood!r} * {max(1, 60_000 // len(flood))}
while True: os.write(1, flood)
"""
    monkeypatch.setattr(errand, "_MAIN", program)
    monkeypatch.setattr(pending, "_MOST_REFUSED", 20_000)
    monkeypatch.setattr(mailbox, "_ANSWER", 1 << 22)
    memory = psutil.Process().memory_info().rss
    calls = Answering()
    with _watched():
        session = Notebook(Offer(), calls, cell_limit=0.5, output_limit=100)
        result = session.run("pass")
        assert psutil.Process().memory_info().rss - memory < 300 << 20
        session.close()
    assert result.outcome == "lost"
    assert len(calls.asked) <= 4 * 501  # a cell that has not begun is tried on three workers, and another one probed
