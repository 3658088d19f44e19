"""Zip files with limits on what they hold."""

from __future__ import annotations

import zipfile

from .output import RefusedError

_MOST_MEMBERS = 20_000
_MOST_UNPACKED = 1 << 30
_ENCRYPTED = 0x1


def opened(path: str) -> zipfile.ZipFile:
    """The archive. What its members say of their sizes holds: zipfile reads no further. Raises RefusedError."""
    archive = zipfile.ZipFile(path)
    try:
        _check(archive)
    except RefusedError:
        archive.close()
        raise
    return archive


def _check(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        message = f"more than {_MOST_MEMBERS:,} files in it"
        raise RefusedError(message)
    if sum(member.file_size for member in members) > _MOST_UNPACKED:
        message = f"unpacks to more than {_MOST_UNPACKED >> 30} GB"
        raise RefusedError(message)
    if any(member.flag_bits & _ENCRYPTED for member in members):
        message = "encrypted"
        raise RefusedError(message)
