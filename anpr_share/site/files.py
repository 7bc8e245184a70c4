"""Small files written so that a power cut leaves either the old content or the new one, and nobody else may read them.

Guarantees: after a function here returns, what it wrote survives losing the power; new files have mode 0600 and new
directories 0700 (where the system has modes); no message repeats a path, which may hold anything.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from anpr_share.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the disk is read-only",
    errno.ENOENT: "it does not exist",
    errno.EEXIST: "it exists already",
    errno.ENOTDIR: "a part of its path is no directory",
    errno.EISDIR: "it is a directory",
}


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn an :class:`OSError` into a :class:`StorageError` saying that ``what`` failed and why, without any path."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"system error {errno.errorcode.get(error.errno or 0, 'unknown')}")
        raise StorageError(f"{what}: {reason}") from None


def sync_directory(directory: Path) -> None:
    """Make renames and new names in a directory durable. Windows does so by itself and refuses to open directories."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make a directory and its missing parents, readable by the owner alone. Raises :class:`StorageError`."""
    with storage_errors("a directory cannot be made"):
        missing = [item for item in (path, *path.parents) if not item.exists()]
        for item in reversed(missing):
            item.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            sync_directory(item.parent)
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "not a directory")


def create_private(path: Path, data: bytes = b"") -> None:
    """Create a file that must not exist yet. Raises :class:`StorageError`, and then leaves nothing behind."""
    with storage_errors("a file cannot be written"):
        _create(path, data)
        sync_directory(path.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file in place of whatever has its name, whole or not at all. Raises :class:`StorageError`."""
    # Always the same name: what a killed command left there, the next one that writes this file takes away.
    mark = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]
    temporary = path.with_name(f".anpr-share-{mark}.part")
    with storage_errors("a file cannot be written"):
        temporary.unlink(missing_ok=True)
        _create(temporary, data)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink()
            raise
        sync_directory(path.parent)


def _create(path: Path, data: bytes) -> None:
    binary = getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | binary, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
