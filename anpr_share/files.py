"""Opening files that somebody names, and what is said when the system refuses one.

Guarantees: only a regular file is read, so nobody waits for ever for a pipe or reads a device without end; no message
repeats a path, which may hold anything; a name that no database can hold is refused before anything is done.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from anpr_share.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

FILE_MODE = 0o600
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
_NEXT_STEPS = {
    errno.ENOSPC: "make room, and run the command again",
    errno.EDQUOT: "make room, and run the command again",
    errno.EACCES: "see whether you may read and write there, or name another place",
    errno.EPERM: "see whether you may read and write there, or name another place",
    errno.EROFS: "name a place on another disk",
    errno.ENOENT: "see whether the name is right, and whether its folder exists",
    errno.EEXIST: "name another file, or move the old one away",
    errno.ENOTDIR: "see whether the name is right",
    errno.EISDIR: "name a file, not a folder",
}
_CHECK_NAME = "check its name and that you may read it"


def next_step(error: OSError) -> str:
    """What a person can do about a refusal of the system."""
    return _NEXT_STEPS.get(error.errno or 0, "see whether the disk is well, and run the command again")


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn an :class:`OSError` into a :class:`StorageError` saying that ``what`` failed and why, without any path."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"system error {errno.errorcode.get(error.errno or 0, 'unknown')}")
        raise StorageError(f"{what}: {reason}", hint=next_step(error)) from None


_NO_DIRECTORY_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)
"""What network shares and the like answer, which have no such thing; a disk that fails says something else."""


def sync_directory(directory: Path) -> None:
    """Make renames and new names in a directory durable, where the file system can.

    Windows does so by itself and refuses to open directories.
    """
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(descriptor)


def owner_only(path: str, flags: int) -> int:
    """An ``opener`` for :func:`open`: a new file is for its owner alone to read (where the system has modes)."""
    return os.open(path, flags, FILE_MODE)


def open_regular(path: Path, what: str) -> BufferedReader:
    """Open a regular file for reading; ``what`` names it in messages.

    Raises :class:`StorageError` if it is not there, may not be read, or is no regular file: a pipe is never waited for.
    """
    # A pipe opens at once with O_NONBLOCK; on a regular file it means nothing.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode):
                return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    except (OSError, ValueError) as error:
        number = (error.errno if isinstance(error, OSError) else None) or 0
        if number == errno.ENOENT:
            raise StorageError(f"{what} does not exist", hint=_CHECK_NAME) from None
        reason = _REASONS.get(number, "the system refuses to open it")
        raise StorageError(f"{what} cannot be read: {reason}", hint=_CHECK_NAME) from None
    if stat.S_ISDIR(mode):
        raise StorageError(f"{what} is a directory", hint=_NEXT_STEPS[errno.EISDIR])
    raise StorageError(f"{what} is not a file", hint="a pipe or a device is not read; name a regular file")


def recorded(path: Path) -> str:
    """The path as text, as a record holds it. Raises :class:`UsageError` if it is not UTF-8, as no record can be."""
    text = str(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("a file's name is not UTF-8: rename it", hint="give it a name of plain letters") from None
    return text
