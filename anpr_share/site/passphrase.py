"""The file that holds a passphrase, read in one way by the program and the library.

Guarantees: little more than what the longest passphrase has is read; an empty file is no passphrase; no message holds
any of it.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from anpr_share.errors import LockedError
from anpr_share.files import storage_errors
from anpr_share.site.vault import MAX_PASSPHRASE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

_HINT = "name the file that holds the passphrase of this site"


def read_passphrase(path: Path) -> tuple[bytes, bool]:
    """The passphrase in a file, its bytes with one final line end dropped, and whether other users can read the file.

    A pipe will do. Raises :class:`LockedError` if there is no such file, or it is empty or too long to be one, and
    :class:`StorageError` if it cannot be read.
    """
    with storage_errors("the passphrase file cannot be read"):
        try:
            with path.open("rb") as file:
                text = file.read(MAX_PASSPHRASE_BYTES + len(b"\r\n") + 1)
                mode = os.fstat(file.fileno()).st_mode
        except FileNotFoundError:
            raise LockedError("the passphrase file does not exist", hint=_HINT) from None
    text = text.removesuffix(b"\n").removesuffix(b"\r") if text.endswith(b"\r\n") else text.removesuffix(b"\n")
    if len(text) > MAX_PASSPHRASE_BYTES:
        raise LockedError("the passphrase file is too long to be one", hint=_HINT)
    if not text:
        raise LockedError("the passphrase file is empty", hint=_HINT)
    return text, os.name == "posix" and bool(mode & (stat.S_IRWXG | stat.S_IRWXO))
