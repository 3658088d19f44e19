"""Mail: one message, or a mailbox that is read message by message. By the standard library alone, but for bodies in HTML."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from .output import Output

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_SEPARATOR = re.compile(rb"From \S+ .*\d{4}")
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)


def convert_eml(path: str, output: Output) -> None:
    """Headers, body and a list of attachments."""
    _write(Path(path).read_bytes(), output)


def convert_mbox(path: str, output: Output) -> None:
    """The same for each message, after its mark. One message is in memory at a time."""
    with Path(path).open("rb") as file:
        for number, message in enumerate(split(file), 1):
            output.mark("message", number)
            _write(message, output)


def split(file: BinaryIO) -> Iterator[bytes]:
    """The messages of a mailbox: each begins after a blank line, or first, with a line `From address date`."""
    lines: list[bytes] = []
    after_blank, begun = True, False
    for line in file:
        if after_blank and _SEPARATOR.match(line):
            if begun:
                yield _unquoted(lines)
            lines, begun = [], True
        elif begun:
            lines.append(line)
        after_blank = not line.strip()
    if begun:
        yield _unquoted(lines)


def _unquoted(lines: list[bytes]) -> bytes:
    return _QUOTED_FROM.sub(rb"\1", b"".join(lines))


def _write(data: bytes, output: Output) -> None:
    try:
        text = _text(data)
    except MemoryError:
        raise
    except ImportError:
        raise
    except Exception as problem:  # noqa: BLE001 - the parser raises anything on hostile mail, and the other messages are fine
        text = f"(this message cannot be read: {type(problem).__name__})"
    output.text(text)


def _text(data: bytes) -> str:
    message = message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    headers = "\n".join(f"{name}: {value}" for name in _HEADERS if (value := _header(message, data, name)))
    leaves = list(_leaves(message))
    bodies = [_body(part) for part in leaves if _is_body(part)]
    attached = [_attachment(part) for part in leaves if not _is_body(part)]
    listed = "\n".join(("Attachments:", "", *attached)) if attached else ""
    return "\n\n".join(part for part in (headers, *bodies, listed) if part)


def _leaves(part: EmailMessage) -> Iterator[EmailMessage]:
    """The parts that hold something; of alternatives the one in plain text, or else in HTML, and what is attached in them."""
    if not part.is_multipart() or part.get_content_maintype() == "message":
        yield part
        return
    leaves = [leaf for child in part.iter_parts() if isinstance(child, EmailMessage) for leaf in _leaves(child)]
    if part.get_content_subtype() != "alternative":
        yield from leaves
        return
    bodies = [leaf for leaf in leaves if _is_body(leaf)]
    yield from [leaf for leaf in bodies if leaf.get_content_subtype() == "plain"] or bodies[-1:]
    yield from (leaf for leaf in leaves if not _is_body(leaf))


def _is_body(part: EmailMessage) -> bool:
    is_text = part.get_content_type() in {"text/plain", "text/html"}
    return is_text and not part.is_attachment() and not part.get_filename()


def _header(message: EmailMessage, data: bytes, name: str) -> str:
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")
    if raw.isascii() and "=?" not in raw:
        # Nothing to decode; to parse it would take half of the time of a mailbox.
        return " ".join(raw.split())
    try:
        value = message[name]
    except Exception:  # noqa: BLE001 - its parser raises anything on what is no proper header
        value = message_from_bytes(data, policy=policy.compat32)[name]
    return " ".join(str(value).split())


def _body(part: EmailMessage) -> str:
    text = _content(part)
    return _from_html(text) if part.get_content_subtype() == "html" else text.strip("\r\n")


def _content(part: EmailMessage) -> str:
    try:
        return str(part.get_content())
    except (LookupError, ValueError):
        # A character set that Python does not know.
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _from_html(text: str) -> str:
    from .web import markdown  # noqa: PLC0415 - only for mail that has it

    try:
        return markdown(text.encode("utf-8", "replace"))[1]
    except ImportError:
        return text


def _attachment(part: EmailMessage) -> str:
    name = " ".join((part.get_filename() or "without a name").split())
    payload = part.get_payload(decode=True)
    # Of a message that is attached, what is in it.
    size = len(payload) if isinstance(payload, bytes) else sum(len(bytes(each)) for each in part.iter_parts())
    return f"- {name} ({part.get_content_type()}, {size:,} bytes)"
