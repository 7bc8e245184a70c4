"""Small files written so that a power cut leaves either the old content or the new one, and nobody else may read them.

Guarantees: after a function here returns, what it wrote survives losing the power; new files have mode 0600 and new
directories 0700 (where the system has modes); no message repeats a path, which may hold anything.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from typing import TYPE_CHECKING, BinaryIO

from anpr_share.errors import StorageError
from anpr_share.files import owner_only, storage_errors, sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

DIRECTORY_MODE = 0o700


def require_space(directory: Path, size: int) -> None:
    """Raise :class:`StorageError` if the disk of a directory, be it made or not, has not so many bytes free."""
    with storage_errors("the free space of the disk cannot be read"):
        free = shutil.disk_usage(next(item for item in (directory, *directory.parents) if item.exists())).free
    if free < size:
        raise StorageError(
            f"the disk has not the room for this: {size:,} bytes are needed, and {free:,} are free",
            hint="nothing was changed; free some space and run the command again",
        )


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
        _create(path, [data])
        sync_directory(path.parent)


def open_private(path: Path) -> BinaryIO:
    """Open a new file for writing that its owner alone may read. The caller syncs it. Raises :class:`StorageError`."""
    with storage_errors("a file cannot be written"):
        return open(path, "xb", opener=owner_only)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file in place of whatever has its name, whole or not at all. Raises :class:`StorageError`."""
    _write_whole(path, [data])


def new_file(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file where there must be none, whole or not at all. Raises :class:`StorageError`.

    That nothing stands in its place is looked at first and last; what comes there in the moment after is replaced.
    """
    require_free(path)
    _write_whole(path, pieces, require_free)


def require_free(path: Path) -> None:
    """Raise :class:`StorageError` if something is there: before long work whose result is to be a new file."""
    if os.path.lexists(path):
        raise StorageError(
            "a file is already where the output is to be written", hint="name another, or move the old one away"
        )


def _write_whole(path: Path, pieces: Iterable[bytes], before: Callable[[Path], None] = lambda _: None) -> None:
    # Always the same name: what a killed command left there, the next one that writes this file takes away.
    mark = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]
    temporary = path.with_name(f".anpr-share-{mark}.part")
    with storage_errors("a file cannot be written"):
        temporary.unlink(missing_ok=True)
        _create(temporary, pieces)
        try:
            before(path)
            temporary.replace(path)
        except BaseException:
            temporary.unlink()
            raise
        sync_directory(path.parent)


def _create(path: Path, pieces: Iterable[bytes]) -> None:
    file = open(path, "xb", opener=owner_only)  # noqa: SIM115 - closed below, removed if unfinished
    try:
        with file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
