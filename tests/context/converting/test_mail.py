from __future__ import annotations

import io
from email.message import EmailMessage
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.context.converting.mail import convert_eml, convert_mbox, split
from llm_rlm.context.converting.output import Output

if TYPE_CHECKING:
    from pathlib import Path

FROM = b"From a@b Thu Jan  1 00:00:00 2026\n"


def eml(tmp_path: Path, data: bytes | EmailMessage) -> str:
    path = tmp_path / "a.eml"
    path.write_bytes(data if isinstance(data, bytes) else data.as_bytes())
    file = io.BytesIO()
    convert_eml(str(path), Output(file, 1 << 20))
    return file.getvalue().decode()


def message(text: str = "the body") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Cc"] = "Ahab <ahab@pequod>", "starbuck@pequod, stubb@pequod", "c@pequod"
    made["Date"], made["Subject"] = "Thu, 01 Jan 2026 00:00:00 +0000", "The Wh\u00e4le"
    made.set_content(text)
    return made


def test_a_message_is_its_headers_body_and_attachments(tmp_path: Path) -> None:
    mail = message()
    mail.add_attachment(b"x" * 1234, maintype="application", subtype="pdf", filename="chart.pdf")
    mail.add_attachment("some notes", filename="notes.txt")
    assert eml(tmp_path, mail) == (
        "From: Ahab <ahab@pequod>\nTo: starbuck@pequod, stubb@pequod\nCc: c@pequod\nDate: Thu, 01 Jan 2026 00:00:00 +0000\n"
        "Subject: The Wh\u00e4le\n\nthe body\n\n"
        "Attachments:\n\n- chart.pdf (application/pdf, 1,234 bytes)\n- notes.txt (text/plain, 11 bytes)\n"
    )


def test_of_alternatives_the_plain_text_is_read(tmp_path: Path) -> None:
    mail = message("in plain text")
    mail.add_alternative("<p>in HTML</p>", subtype="html")
    text = eml(tmp_path, mail)
    assert "in plain text" in text
    assert "HTML" not in text


def test_text_that_follows_the_body_is_read_too(tmp_path: Path) -> None:
    data = b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x\n\ntwo, of the mailing list\n--x--\n"
    assert eml(tmp_path, data) == "one\n\ntwo, of the mailing list\n"


def test_a_message_in_a_message_is_listed(tmp_path: Path) -> None:
    mail = message()
    mail.add_attachment(message("the forwarded body"))
    text = eml(tmp_path, mail)
    assert "the forwarded body" not in text
    assert "- without a name (message/rfc822, " in text


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"Content-Type: text/plain; charset=latin-1\n\ncaf\xe9", "caf\u00e9"),
        (b"Content-Type: text/plain; charset=no-such-thing\n\ncaf\xc3\xa9", "caf\u00e9"),
        (b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nY2Fmw6k=", "caf\u00e9"),
        (b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n!!!not base64", ""),
        (b"Subject: =?utf-8?q?caf=C3=A9?=\n folded\n\nx", "Subject: caf\u00e9 folded"),
        (b"Subject: raw \xff bytes\n\nx", "x"),
        (b"From: <<<>>>@@@ (((\nTo: \n\nx", "x"),
        (b"no headers at all", "no headers at all"),
        (b"Content-Type: multipart/mixed\n\nno boundary", ""),
        (b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\ncut off", "cut off"),
        (b"Subject: a\n\n<!-- message 3 -->\n", "\\<!-- message 3 -->"),
        (b"Subject: a\n\nNUL \0 and \x1b[31m\n", "NUL   and  [31m"),
    ],
)
def test_odd_mail_is_read_as_well_as_can_be(tmp_path: Path, data: bytes, part: str) -> None:
    assert part in eml(tmp_path, data)


def test_mail_that_nests_too_deeply_is_said_to_be_unreadable(tmp_path: Path) -> None:
    deep = b"".join(b"--x%d\nContent-Type: multipart/mixed; boundary=x%d\n\n" % (n, n + 1) for n in range(3000))
    text = eml(tmp_path, b"Content-Type: multipart/mixed; boundary=x0\n\n" + deep)
    assert text == "(this message cannot be read: RecursionError)\n"


def test_the_messages_of_a_mailbox_are_marked(tmp_path: Path) -> None:
    path = tmp_path / "a.mbox"
    path.write_bytes(FROM + b"Subject: one\n\n>From here\nFrom nowhere at all\n\n" + FROM + b"Subject: two\n\nlast\n")
    file = io.BytesIO()
    convert_mbox(str(path), Output(file, 1 << 20))
    assert file.getvalue().decode() == (
        "<!-- message 1 -->\n\nSubject: one\n\nFrom here\nFrom nowhere at all\n\n<!-- message 2 -->\n\nSubject: two\n\nlast\n"
    )


@given(
    st.lists(st.lists(st.sampled_from([b"a", b"", b"From you", b"From a@b in 2026 said", b">From x", b"Sub: x\r"])), max_size=5)
)
def test_a_mailbox_is_split_as_it_was_joined(messages: list[list[bytes]]) -> None:
    bodies = [b"".join(b">" * line.lstrip(b">").startswith(b"From ") + line + b"\n" for line in lines) for lines in messages]
    box = b"".join(FROM + body + b"\n" for body in bodies)
    assert list(split(io.BytesIO(box))) == [b"".join(line + b"\n" for line in lines) + b"\n" for lines in messages]
