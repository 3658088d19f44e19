"""Makes the pictures of how it is built: `python docs/pictures/make.py`.

With `--check` it only says which are not up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

import call
import layers
import processes

_HERE = Path(__file__).parent
PICTURES = {"layers.svg": layers.picture, "processes.svg": processes.picture, "call.svg": call.picture}


def main(arguments: list[str]) -> int:
    """Write what is not up to date, or only name it. Returns the exit code."""
    stale = [name for name, picture in PICTURES.items() if _read(_HERE / name) != picture()]
    for name in stale:
        print(f"{name} is not up to date" if "--check" in arguments else f"{name} is written")
        if "--check" not in arguments:
            (_HERE / name).write_text(PICTURES[name](), "utf-8")
    return int(bool(stale) and "--check" in arguments)


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
