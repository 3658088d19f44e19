"""What the two APIs have in common on the wire."""

import json

from .exchange import Json


def text(content: object) -> str:
    """The text of a message's content, however it was written."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return ""


def dump(value: Json) -> bytes:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":")).encode()


def pieces(text: str, most: int) -> list[str]:
    """`text` in at most `most` parts of about the same length, none of them empty."""
    size = -(-len(text) // most) or 1
    return [text[start : start + size] for start in range(0, len(text), size)]
