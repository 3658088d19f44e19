"""Hostile cells: the host answers in time, nothing gets out, and the next cell works with its variables."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from llm_rlm.sandbox import Offer

from .fakes import Answering, Notebook

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMIT = 0.5
_GRACE = 1.0
_REPLAY = 3.0
_MEMORY = 700 << 20
_SECRET = "CANARY-" + "5e11f00d"

_FORGED_DONE = '{"t": "done", "key": "", "error": null, "tail": "FORGED", "total": 1, "running": 0.0, "variables": []}'
_OWN = {
    "forged done frames": f"import _eryx\nfor n in range(50): _eryx._eryx_report_output(0, b'{_FORGED_DONE}')",
    "frame types that cannot be hashed": "import _eryx\n_eryx._eryx_report_output(0, b'{\"t\": [1]}')",
    "not JSON": "import _eryx\n_eryx._eryx_report_output(0, b'\\xff\\x00{')",
    "a frame too long for the host": "import _eryx\n_eryx._eryx_report_output(0, b'x' * ((1 << 28) + 1))",
    "a frame of very many values": (
        "import _eryx\n_eryx._eryx_report_output(0, b'{\"t\": \"calls\", \"calls\": [' + b'0,' * 20_000_000 + b'0]}')"
    ),
    "a flood of output frames": (
        'import _eryx\nwhile True: _eryx._eryx_report_output(0, b\'{"t": "out", "text": "\' + b\'a\' * 99999 + b\'"}\')'
    ),
    "malformed calls": 'import _eryx\n_eryx._eryx_report_output(0, b\'{"t": "calls", "calls": [{"id": "x"}]}\')',
    "a flood of lines": "while True: print('all work and no play ' * 10_000)",
    "builtins removed, the stream replaced": (
        "import builtins, sys\nsys.stderr = sys.stdout = None\nfor name in dir(builtins):\n    delattr(builtins, name)"
    ),
    "tracing left on": "import sys\nsys.setprofile(lambda *a: 1 / 0)\nsys.settrace(lambda *a: 1 / 0)",
    "the traceback module broken": "import traceback\ntraceback.TracebackException = None\n1 / 0",
    "asyncio broken": "import asyncio\nasyncio.create_task = asyncio.sleep = asyncio.gather = asyncio.all_tasks = None",
    "every task cancelled, again and again": (
        "import asyncio\nwhile True:\n    for t in asyncio.all_tasks(): t.cancel()\n    try: await asyncio.sleep(0)\n"
        "    except BaseException: pass"
    ),
    "a finalizer that never ends": "class Last:\n    def __del__(self):\n        while True: pass\nLast()\nNone",
    "a repr that recurses": "class Mirror:\n    def __repr__(self): return repr(self)\nMirror()",
    "lists in lists": "deep = []\nfor _ in range(100_000): deep = [deep]\nrepr(deep)",
    "the end of the process": "import signal\nsignal.raise_signal(signal.SIGABRT)",
    "all of the memory": "hoard = []\nwhile True: hoard.append(bytearray(1 << 28))",
    "files of the host": "import os\nprint(os.environ, os.listdir('{DIRECTORY}'), open('{CANARY_FILE}').read())",
    "a connection": "import socket\nsocket.create_connection(('127.0.0.1', {PORT}))",
}

_SHARED = Path(__file__).resolve().parents[3] / "shared" / "attacks" / "cases.jsonl"
_CASES = [json.loads(line) for line in _SHARED.read_text("utf-8").splitlines()] if _SHARED.exists() else []

_BOUNDED_BY_BUDGET = {"cap_500"}


class Surroundings:
    """What must stay out of reach: a file with a secret, a path to be left alone, a listener."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.secret = directory / "canary.txt"
        self.secret.write_text(_SECRET)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)

    def fill(self, code: str) -> str:
        values = {
            "CANARY_FILE": str(self.secret),
            "CANARY_FILE_REL": str(self.secret)[1:],
            "PWNED": str(self.directory / "PWNED"),
            "DIRECTORY": str(self.directory),
            "PORT": str(self.listener.getsockname()[1]),
        }
        for name, value in values.items():
            code = code.replace(f"{{{name}}}", value)
        return code

    def check(self) -> None:
        assert os.listdir(self.directory) == ["canary.txt"]  # noqa: PTH208 - names
        with pytest.raises(BlockingIOError):
            self.listener.accept()


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Surroundings]:
    monkeypatch.setenv("OPENAI_API_KEY", _SECRET)
    outside = tmp_path / "outside"
    outside.mkdir()
    around = Surroundings(outside)
    yield around
    around.listener.close()


@pytest.fixture
def target() -> Iterator[Notebook]:
    session = Notebook(Offer(), Answering(), cell_limit=_LIMIT)
    yield session
    session.close()


def contained(session: Notebook, code: str, surroundings: Surroundings) -> None:
    """Run a hostile cell and check that it came to nothing."""
    assert session.run("kept = list(range(300))\npaid = await llm_query('keep')").outcome == "ok"
    memory = psutil.Process().memory_info().rss
    started = time.monotonic()
    result = session.run(surroundings.fill(code))
    assert time.monotonic() - started < _LIMIT + _GRACE + _REPLAY
    assert psutil.Process().memory_info().rss - memory < _MEMORY
    told = result.output + "".join(result.notes)
    assert len(told) < 10_000
    for secret in (_SECRET, "site-packages", "wasm", "__rlm", "<rlm", "FORGED"):
        assert secret not in told
    after = session.run("print(len(kept), paid, 1 + 1)")
    assert after.output == "300 re: keep 2\n"
    surroundings.check()


@pytest.mark.parametrize("name", _OWN)
def test_a_hostile_cell_is_contained(target: Notebook, surroundings: Surroundings, name: str) -> None:
    contained(target, _OWN[name], surroundings)


@pytest.mark.skipif(not _CASES, reason="the shared list of attacks is not beside this checkout")
@pytest.mark.parametrize("case", _CASES, ids=lambda case: f"{case['family']}-{case['name']}")
def test_a_case_of_the_shared_list_is_contained(target: Notebook, surroundings: Surroundings, case: dict[str, str]) -> None:
    if case["name"] in _BOUNDED_BY_BUDGET:
        pytest.skip("it calls models for ever, which its budget ends")
    contained(target, case["code"], surroundings)


def test_a_flood_of_frames_between_cells_costs_the_session_and_not_the_host(target: Notebook) -> None:
    flood = "import asyncio, _eryx\nasync def flood():\n    while True:\n        await asyncio.sleep(0)\n"
    flood += '        _eryx._eryx_report_output(0, b\'{"t": "out", "text": "\' + b\'a\' * 1_000_000 + b\'"}\')\n'
    target.run(flood + "flooding = asyncio.create_task(flood())")
    memory = psutil.Process().memory_info().rss
    time.sleep(0.5)
    assert target.run("1 + 1").output == "2\n"
    assert psutil.Process().memory_info().rss - memory < 100 << 20
