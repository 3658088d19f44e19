"""What all tests share: a user folder of their own, and models whose replies are written down in the test."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from llm_rlm.testing import Reply, Request, ScriptedServer, say
from scripts import Models

# How long an example takes says nothing on a machine that does other things too.
# CI tries the same examples each time: what it says is about the change. Anywhere else they are others in each run.
settings.register_profile("any machine", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("any machine")

# A process that was started in the background ignores Ctrl-C, and so would those that tests start and press it for.
signal.signal(signal.SIGINT, signal.default_int_handler)

type Sub = Callable[[Request], Reply]


@pytest.fixture(autouse=True)
def user_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of LLM's own for each test, no keys and no defaults; and no certificates, whose reading takes long."""
    for name in ("SSL_CERT_FILE", "OPENAI_API_KEY", "LLM_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    path = tmp_path / "user"
    path.mkdir()
    monkeypatch.setenv("LLM_USER_PATH", str(path))
    return path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files, to look whether any is left behind."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return path


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come after milliseconds."""
    monkeypatch.setattr("llm_rlm.providers.retries.BASE", 0.002)


type Serve = Callable[..., Models]


@pytest.fixture
def serve(user_path: Path) -> Iterator[Serve]:
    """Start a server whose root model gives these replies, one a request, the last for ever."""
    with ExitStack() as stack:

        def start(*replies: Reply, sub: Sub = lambda request: say(f"sub: {request.prompt}"), **extra: Any) -> Models:
            left = list(replies)

            def script(request: Request) -> Reply:
                if not request.tools:
                    return sub(request)
                return left.pop(0) if len(left) > 1 else left[0]

            server = stack.enter_context(ScriptedServer(script))
            server.write_models_yaml(user_path, "chat", **extra)
            server.write_models_yaml(user_path, "responses", responses=True, **extra)
            return Models(server)

        yield start
