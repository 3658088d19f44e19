"""What keeps a worker from the rest of the machine, should code get out of its guest: asked of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_rlm.confining import Measure

from . import errand

if TYPE_CHECKING:
    from collections.abc import Sequence


def status() -> Sequence[Measure]:
    """The measures that a worker on this machine finds in force when it tries them, and why others are off.

    Starts a worker, which runs no guest: a tenth of a second. Raises SandboxError if it does not answer.
    """
    return [Measure(*each) for each in errand.run("measure", {})["measures"]]
