"""The picture of a report: `llm rlm report` of a real run whose models a script plays, as Chromium shows it.

    python docs/pictures/report.py

Needs Chromium (`chromium` on the PATH, or what CHROMIUM names), and no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripted import COMMAND, environment, scripted

_PICTURE = Path(__file__).parent / "report.png"
_SIZE = (1200, 900)
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def main() -> int:
    """Run the command, write its report and take the picture. Returns the exit code."""
    with scripted() as folder:
        for command in (COMMAND, ("llm", "rlm", "report", "last", "-o", "report.html")):
            made = subprocess.run([sys.executable, "-m", *command], cwd=folder, env=environment(folder), check=False)
            if made.returncode:
                return made.returncode
        photograph((folder / "report.html").as_uri(), _PICTURE, _SIZE)
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
    sys.exit(main())
