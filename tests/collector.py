"""A collector of OpenTelemetry on loopback."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


class Collector:
    """What receives spans on loopback."""

    def __init__(self, status: int = 200) -> None:
        self.received: list[Any] = []
        """Paths, and what was sent there."""
        self.raw = b""
        """All that was sent, as it is: headers and bodies."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.raw += bytes(self.headers) + body
                outer.received.append((self.path, ExportTraceServiceRequest.FromString(body)))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def spans(self) -> list[Any]:
        """The spans that were sent."""
        return [
            span
            for _, request in self.received
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @contextmanager
    def serving(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
        """Have OpenTelemetry send to it meanwhile."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", self.url)
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
