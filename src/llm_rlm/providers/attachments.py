"""Files that go with prompts: by name from the sources and from nowhere else, as the model takes them."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import TYPE_CHECKING

from llm_rlm.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import llm

    from llm_rlm.context.media import Attachable

LARGEST = 20_000_000
"""Bytes of the files that go with one prompt."""

IMAGE_TOKENS = 50_000
"""Input tokens that a picture is taken for at most, whatever its size: the most that a provider counts for one."""

_BYTES_A_TOKEN = 4
_MOST = 100
_MOST_NAMED = 10
_LONGEST_NAME = 200


class Attachments:
    """The files of a run's sources that can go with prompts. Methods may be called from any thread."""

    def __init__(self, files: Sequence[Attachable] = ()) -> None:
        """Nothing is read yet."""
        self._files = {file.name: file for file in files}
        self._lock = threading.Lock()
        """Guards what follows."""
        self._known: dict[str, tuple[tuple[int, int], str]] = {}
        """By path: time and size of a file, and its hash."""

    def contents(self, names: Sequence[str]) -> list[dict[str, str | None]]:
        """What makes the same files the same: `name` and `sha256` of each, None where it cannot be read."""
        return [{"name": name[:_LONGEST_NAME], "sha256": self._hash(name)} for name in names[:_MOST]]

    def of_call(self, names: Sequence[str], model: llm.Model) -> list[llm.Attachment]:
        """What LLM sends with a prompt to that model.

        Raises ModelError with a line for the root model: no such file, too large, or not what the model takes.
        """
        import llm  # noqa: PLC0415 - slow to import

        if len(names) > _MOST:
            message = f"{len(names):,} attachments; at most {_MOST} can go with one prompt"
            raise ModelError(message)
        files = [self._file(name) for name in names]
        for file in files:
            _check_taken(file, model)
        size = sum(_size(file) for file in files)
        if size > LARGEST:
            message = f"the attachments have {size:,} bytes; at most {LARGEST:,} can go with one prompt"
            raise ModelError(message)
        return [llm.Attachment(type=file.type, path=file.path) for file in files]

    def _file(self, name: str) -> Attachable:
        if name in self._files:
            return self._files[name]
        there = ", ".join(list(self._files)[:_MOST_NAMED]) + (", …" if len(self._files) > _MOST_NAMED else "")
        cure = f"`attachable` lists the files that can: {there}" if self._files else "the input has no files that can"
        message = f"{name[:_LONGEST_NAME]!r} cannot be attached: {cure} (not URLs, members of archives, or text)"
        raise ModelError(message)

    def _hash(self, name: str) -> str | None:
        """The hash of a file's content, read again only where the file has changed."""
        file = self._files.get(name)
        if file is None:
            return None
        try:
            status = os.stat(file.path)  # noqa: PTH116 - a str may hold bytes that are no text
            state = (status.st_mtime_ns, status.st_size)
            with self._lock:
                known = self._known.get(file.path)
            if known is not None and known[0] == state:
                return known[1]
            if status.st_size > LARGEST:
                return None
            with open(file.path, "rb") as opened:  # noqa: PTH123 - likewise
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError:  # it is told when the call is made
            return None
        with self._lock:
            self._known[file.path] = (state, digest)
        return digest


def token_bound(attachments: Sequence[llm.Attachment]) -> int:
    """Input tokens that these are taken for, until the provider has counted them."""
    return sum(_tokens(attachment) for attachment in attachments)


def _tokens(attachment: llm.Attachment) -> int:
    try:
        size = os.stat(attachment.path or "").st_size  # noqa: PTH116 - as above
    except OSError:  # gone since: the call will fail
        size = 0
    is_image = (attachment.type or "").startswith("image/")
    return IMAGE_TOKENS if is_image else max(IMAGE_TOKENS, size // _BYTES_A_TOKEN)


def _check_taken(file: Attachable, model: llm.Model) -> None:
    taken = sorted(model.attachment_types)
    if not taken:
        message = f"{model.model_id} takes no attachments: ask a model that does, with `model=`, or leave them out"
        raise ModelError(message)
    if file.type not in taken:
        message = f"{model.model_id} does not take {file.type} ({file.name[:_LONGEST_NAME]}): it takes {', '.join(taken)}"
        raise ModelError(message)


def _size(file: Attachable) -> int:
    try:
        return os.stat(file.path).st_size  # noqa: PTH116 - as above
    except OSError as problem:
        message = f"{file.name[:_LONGEST_NAME]} was there when the run began and cannot be read now: {problem.strerror}"
        raise ModelError(message) from None
