"""Says what the pages of a built site would load from elsewhere: `python docs/outside.py site`.

Links that a reader follows are not meant.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_TAG = re.compile(r"<(?:script|link|img|iframe|source|image|use)\b[^>]*>", re.IGNORECASE)
_ELSEWHERE = re.compile(r"""(?:src|srcset|href)=["']?(?:https?:)?//""", re.IGNORECASE)
_IN_STYLE = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])(?:https?:)?//[^)"']+""", re.IGNORECASE)
_IS_NAME = re.compile(r"rel=[\"']?(?:canonical|prev|next)\b")


def outside(text: str) -> list[str]:
    """The tags and styles of a page, style sheet or picture that load from elsewhere."""
    tags = [tag for tag in _TAG.findall(text) if _ELSEWHERE.search(tag) and not _IS_NAME.search(tag)]
    return tags + _IN_STYLE.findall(text)


def main(site: str) -> int:
    """Look through all files of a site. Returns the exit code."""
    files = [path for path in Path(site).rglob("*") if path.suffix in {".html", ".css", ".svg"}]
    found = [f"{path}: {what}" for path in files for what in outside(path.read_text("utf-8"))]
    print("\n".join(found) or f"{len(files)} files load nothing from elsewhere")
    return int(bool(found) or not files)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
