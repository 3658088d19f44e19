"""The picture of a report: `llm rlm report` of a real run, as Chromium shows it.

    python docs/pictures/report.py [RUN]

RUN is `last` unless given. Needs Chromium (`chromium` on the PATH, or what CHROMIUM names), and no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_PICTURE = Path(__file__).parent / "report.png"
_SIZE = (1200, 900)
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def main(arguments: list[str]) -> int:
    """Write the report of a run and take its picture. Returns the exit code."""
    run = arguments[0] if arguments else "last"
    with tempfile.TemporaryDirectory(prefix="report-") as name:
        page = Path(name) / "report.html"
        made = subprocess.run([sys.executable, "-m", "llm", "rlm", "report", run, "-o", str(page)], check=False)
        if made.returncode or not page.exists():
            return made.returncode or 1
        photograph(page.as_uri(), _PICTURE, _SIZE)
    return 0


def photograph(address: str, picture: Path, size: tuple[int, int]) -> None:
    """Have Chromium draw a page in a window of so many pixels. Raises if there is no Chromium, or no picture."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("Chromium is not on the PATH: install it, or name it in CHROMIUM")
    picture.unlink(missing_ok=True)
    window = f"--window-size={size[0]},{size[1]}"
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        command = [chromium, *_FLAGS, f"--user-data-dir={profile}", window, f"--screenshot={picture}", address]
        subprocess.run(command, check=True, timeout=120, capture_output=True)
    if not picture.exists():
        sys.exit("Chromium drew nothing")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
