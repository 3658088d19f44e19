"""The scripted server as a command: `python -m llm_rlm.testing.server`."""

import argparse
import contextlib
import importlib.util
import os
import select
import signal
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .exchange import Script, echo, needle
from .faults import Faulty
from .server import ScriptedServer

_READ_AT_ONCE = 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a server until stdin (if a pipe) closes, SIGTERM or SIGINT; prints the URL first."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        script = _with_faults(options.script, options.fault_share, options.seed)
    except ValueError as error:
        parser.error(str(error))
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.default_int_handler)
    server = ScriptedServer(script, delay=options.delay, keep=0, port=options.port)
    with contextlib.suppress(KeyboardInterrupt), server:
        print(server.url, flush=True)  # noqa: T201 - this is the command's output
        _wait(options.max_seconds)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m llm_rlm.testing.server",
        description="A scripted OpenAI-compatible server on 127.0.0.1.",
    )
    add = parser.add_argument
    add("--script", type=_load, default="echo", help="echo, needle or path/to/file.py:function")
    add("--delay", type=float, default=0.0, help="seconds before each answer")
    add("--fault-share", type=float, default=0.0, help="the share of requests that meet a fault, from 0 to 1")
    add("--seed", type=int, default=0, help="which requests meet which faults")
    add("--port", type=int, default=0, help="0 picks a free one")
    add("--max-seconds", type=float, default=3600.0, help="stop after this long")
    return parser


def _with_faults(script: Script, share: float, seed: int) -> Script:
    return Faulty(script, share=share, seed=seed) if share else script


def _load(name: str) -> Script:
    built_in: Mapping[str, Script] = {"echo": echo, "needle": needle}
    if name in built_in:
        return built_in[name]
    path, _, function = name.rpartition(":")
    spec = importlib.util.spec_from_file_location("scripted_server_script", path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        msg = f"{name!r} is not echo, needle or path/to/file.py:function"
        raise argparse.ArgumentTypeError(msg)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    script: Script | None = getattr(module, function, None)
    if script is None:
        msg = f"{path} has no {function!r}"
        raise argparse.ArgumentTypeError(msg)
    return script


def _wait(seconds: float) -> None:
    """Return after `seconds`, or before that when stdin is a pipe and its other end closes."""
    end = time.monotonic() + seconds
    watched = [0] if stat.S_ISFIFO(os.fstat(0).st_mode) else []
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select(watched, [], [], left)
        if ready and not os.read(0, _READ_AT_ONCE):
            return
