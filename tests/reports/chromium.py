"""A small client for Chromium, by the DevTools protocol over a pipe: what a page asks for, says and shows."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COMMAND = os.environ.get("CHROMIUM") or next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
"""Where Chromium is; None if it is not there."""

_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-extensions"),
    *("--disable-quic", "--hide-scrollbars", "--remote-debugging-pipe"),
)
_FREE = 100
"""Descriptors from here on are in nobody's way."""


class Page:
    """One page of a browser. All events since it was made are in `events`."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._rest = b""
        self._number = 0
        self._replies: dict[int, dict[str, Any]] = {}
        self._session: str | None = None
        self.events: list[tuple[str, dict[str, Any]]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "Audits"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._send, data) :]
        number = self._number
        self._until(lambda: number in self._replies)
        reply = self._replies.pop(number)
        assert "error" not in reply, reply
        result: dict[str, Any] = reply["result"]
        return result

    def open(self, path: Path, width: int = 1440, *, height: int = 900, dark: bool = False) -> None:
        """Open a file in a window of that size, and wait until the page is ready."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=scheme)
        seen = len(self.events)
        self.ask("Page.navigate", url=path.resolve().as_uri())
        self._until(lambda: any(name == "Page.loadEventFired" for name, _ in self.events[seen:]))

    def run(self, script: str) -> Any:
        """The value of an expression in the page, awaited if it is a promise."""
        done = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def becomes(self, condition: str) -> bool:
        """Wait until an expression is true in the page, up to 10 seconds; whether it came to be."""
        end = time.monotonic() + 10
        while not self.run(condition):
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        codes = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowRight": 39}
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=codes.get(key, 0), **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=codes.get(key, 0))

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Keep what is shown as a PNG."""
        made = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(made["data"]))

    @property
    def requests(self) -> list[str]:
        """The addresses that were asked for."""
        return [event["request"]["url"] for name, event in self.events if name == "Network.requestWillBeSent"]

    @property
    def complaints(self) -> list[str]:
        """What went wrong in pages: errors, and what their policies forbade."""
        found = []
        for name, event in self.events:
            if name == "Runtime.exceptionThrown":
                found.append(str(event["exceptionDetails"]))
            elif name == "Runtime.consoleAPICalled" and event["type"] in {"error", "warning"}:
                found.append(str(event["args"]))
            elif name == "Log.entryAdded" and event["entry"]["level"] in {"error", "warning"}:
                found.append(event["entry"]["text"])
            elif name == "Audits.issueAdded":
                found.append(str(event["issue"]))
        return found

    def _until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            ready, _, _ = select.select([self._receive], [], [], max(0.0, end - time.monotonic()))
            assert ready, "Chromium says nothing"
            data = os.read(self._receive, 1 << 20)
            assert data, "Chromium has gone"
            *messages, self._rest = (self._rest + data).split(b"\0")
            for text in messages:
                self._take(json.loads(text))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._replies[message["id"]] = message
        elif message.get("sessionId") == self._session:
            self.events.append((message["method"], message["params"]))


@contextmanager
def browser(profile: Path) -> Iterator[Callable[[], Page]]:
    """A browser of its own, ended at the end; what is given makes new pages of it."""
    assert COMMAND is not None
    there, out = os.pipe()
    back, here = os.pipe()
    theirs = [fcntl.fcntl(number, fcntl.F_DUPFD, _FREE) for number in (there, here)]
    for number in (there, here):
        os.close(number)
    script = f'exec "$0" "$@" 3</dev/fd/{theirs[0]} 4>/dev/fd/{theirs[1]}'
    command = ["/bin/sh", "-c", script, COMMAND, *_FLAGS, f"--user-data-dir={profile}"]
    home = {**os.environ, "HOME": str(profile), "XDG_CONFIG_HOME": str(profile), "XDG_CACHE_HOME": str(profile)}
    null = subprocess.DEVNULL
    process = subprocess.Popen(  # noqa: S603 - our own flags
        command, pass_fds=theirs, stdin=null, stdout=null, stderr=null, env=home, start_new_session=True
    )
    for number in theirs:
        os.close(number)
    try:
        yield lambda: Page(out, back)
    finally:
        for number in (out, back):
            os.close(number)  # at which it ends
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with suppress(ProcessLookupError):  # whatever of its own is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
