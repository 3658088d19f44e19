"""Spans on their way to an OpenTelemetry collector, by OTLP over HTTP, as `OTEL_EXPORTER_OTLP_*` say."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from importlib import import_module
from itertools import batched
from typing import TYPE_CHECKING, Any

from llm_rlm.errors import RLMError, UnknownModelError, UsageError
from llm_rlm.providers import models

from .spans import AGENT, Spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from llm_rlm.journal import Journal

    from .spans import Span

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The variable that says whether spans hold what was said."""
_CONTENT_WORDS = frozenset({"1", "true", "span_only", "span_and_event"})
_AT_ONCE = 512
_LOGGER = "opentelemetry"
_NAMED = {
    "llm": "openai",
    "llm_anthropic": "anthropic",
    "llm_claude_3": "anthropic",
    "llm_gemini": "gcp.gemini",
    "llm_mistral": "mistral_ai",
    "llm_groq": "groq",
    "llm_bedrock": "aws.bedrock",
    "llm_cohere": "cohere",
    "llm_deepseek": "deepseek",
    "llm_perplexity": "perplexity",
    "llm_grok": "x_ai",
}
"""Providers as the conventions name them, by the package of the model; others are named by it."""


def send(journal: Journal, run_id: str, exporter: SpanExporter | None = None, *, content: bool | None = None) -> int:
    """Send a run and all below it, finished or not. Returns the number of spans.

    The trace has the id of the run, so sending it again gives the same spans. `content` is whether they hold what was said;
    None: as OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says. `exporter` is one of OpenTelemetry's; None: OTLP over
    HTTP. Raises UsageError where the extra is not installed, and RLMError where the collector does not take them.
    """
    exporter = exporter or _otlp()
    content = os.environ.get(CONTENT, "").strip().lower() in _CONTENT_WORDS if content is None else content
    spans = Spans(journal, provider_of, content=content).of_run(run_id)
    count = 0
    with _told() as told:
        try:
            for some in batched(_readable(spans, run_id), _AT_ONCE):
                _export(exporter, some, told)
                count += len(some)
        finally:
            exporter.shutdown()
    return count


def provider_of(model: str) -> str:
    """The provider of a model of LLM, as the conventions name it; by the package of its plugin where they have no name."""
    try:
        package = type(models.find(model or None)).__module__.split(".")[0]
    except UnknownModelError:
        return "_OTHER"
    return _NAMED.get(package, package.removeprefix("llm_"))


def _otlp() -> SpanExporter:
    try:
        module = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError as problem:
        message = "OpenTelemetry is not installed: llm install 'llm-rlm[otel]'"
        raise UsageError(message) from problem
    exporter: SpanExporter = module.OTLPSpanExporter()
    return exporter


def _export(exporter: SpanExporter, spans: tuple[ReadableSpan, ...], told: list[str]) -> None:
    from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415 - an extra

    if exporter.export(spans) is not SpanExportResult.SUCCESS:
        why = f": {told[-1]}" if told else ""
        message = f"the spans could not be sent{why} (OTEL_EXPORTER_OTLP_ENDPOINT says where to)"
        raise RLMError(message)


@contextmanager
def _told() -> Iterator[list[str]]:
    """What OpenTelemetry logs meanwhile, instead of its being printed: it says no other way why something failed."""
    told: list[str] = []

    class _Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage().splitlines()[0])

    logger, keeper = logging.getLogger(_LOGGER), _Keeper(logging.WARNING)
    before, logger.propagate = logger.propagate, False
    logger.addHandler(keeper)
    try:
        yield told
    finally:
        logger.removeHandler(keeper)
        logger.propagate = before


def _readable(spans: Iterator[Span], run_id: str) -> Iterator[ReadableSpan]:
    """As OpenTelemetry has them."""
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags  # noqa: PLC0415
    from ulid import ULID  # noqa: PLC0415 - beside the others

    trace, scope, resource = int(ULID.from_str(run_id.upper())), InstrumentationScope("llm_rlm"), _resource()
    kinds: dict[str, Any] = {"client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}

    def context(number: int) -> SpanContext:
        return SpanContext(trace, number, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    for span in spans:
        yield ReadableSpan(
            span.name,
            context(span.id),
            parent=context(span.parent) if span.parent is not None else None,
            resource=resource,
            attributes=span.attributes,
            kind=kinds[span.kind],
            status=Status(StatusCode.ERROR, span.error) if span.error is not None else Status(),
            start_time=_nanoseconds(span.started),
            end_time=_nanoseconds(span.ended),
            instrumentation_scope=scope,
        )


def _resource() -> Resource:
    """Who sends: what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say, else the name of this."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415 - an extra

    found = Resource.create()
    unnamed = str(found.attributes[SERVICE_NAME]).startswith("unknown_service")
    return found.merge(Resource({SERVICE_NAME: AGENT})) if unnamed else found


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
