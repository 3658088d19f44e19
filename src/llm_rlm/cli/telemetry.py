"""A run that has ended on its way to OpenTelemetry, where `rlm.toml` says `otel = true`. Nothing of it fails a run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE = 5.0
"""Seconds that the command waits for it, with the answer printed."""


def send_to_otel(run_id: str, given: Mapping[str, Any]) -> None:
    """Send a run if that is wished for; what keeps it from being sent is a warning."""
    from llm_rlm.config import load  # noqa: PLC0415 - not needed for --help
    from llm_rlm.errors import UsageError  # noqa: PLC0415
    from llm_rlm.runs.llmlog import is_kept  # noqa: PLC0415

    try:
        wished = load().otel and is_kept(given)
    except UsageError:  # said already where it matters
        return
    if not wished:
        return
    failed: list[str] = [f"no answer within {PATIENCE:g} s"]
    sending = threading.Thread(target=_send, args=(run_id, failed), name="llm-rlm-otel", daemon=True)
    sending.start()
    sending.join(PATIENCE)
    if failed and not given["quiet"]:
        click.echo(f"Warning: OpenTelemetry: {failed[-1]}. To send it later: llm rlm export {run_id} --otel", err=True)


def _send(run_id: str, failed: list[str]) -> None:
    """Send a run. `failed` is emptied once it is sent, and else gets why not."""
    from llm_rlm.export.otel import send  # noqa: PLC0415 - not needed for --help
    from llm_rlm.journal import Journal  # noqa: PLC0415
    from llm_rlm.places import journal_path  # noqa: PLC0415

    try:
        journal = Journal(journal_path())
        try:
            send(journal, run_id)
        finally:
            journal.close()
    except Exception as problem:  # noqa: BLE001 - told by the thread that waits
        failed.append(str(problem) or type(problem).__name__)
    else:
        failed.clear()
