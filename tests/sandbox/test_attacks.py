"""What the programs of the conformance suite do not try: harm between two cells that is measured at the host."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from .fakes import Notebook


def test_a_flood_of_frames_between_cells_costs_the_session_and_not_the_host(session: Notebook) -> None:
    flood = "import asyncio, _eryx\nasync def flood():\n    while True:\n        await asyncio.sleep(0)\n"
    flood += '        _eryx._eryx_report_output(0, b\'{"t": "out", "text": "\' + b\'a\' * 1_000_000 + b\'"}\')\n'
    session.run(flood + "flooding = asyncio.create_task(flood())")
    memory = psutil.Process().memory_info().rss
    time.sleep(0.5)
    assert session.run("1 + 1").output == "2\n"
    assert psutil.Process().memory_info().rss - memory < 100 << 20
