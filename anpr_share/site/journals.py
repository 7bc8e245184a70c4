"""What SQLite would do to other files because of what lies beside ours, looked at before it is let near them.

Guarantees: no database or journal of a site is a link to another file, which SQLite would overwrite; and a journal
left by a killed command names no file but the one that SQLite itself made for this site's transactions over several
files. That *super-journal* is deleted once the journal is rolled back, whatever its name says, so a planted journal
could have any command delete any file of whoever runs it.

A journal names its super-journal at its end: ``page (4) name length (4) checksum (4) d9d505f920a163d7``, integers
big-endian; the checksum is the sum of the name's bytes, signed where C's ``char`` is. The name is the path of the main
database and ``-mj`` and hexadecimal digits. Source: ``readSuperJournal`` and ``pager_delsuper`` in SQLite's
``pager.c``, ``vdbeCommit`` in ``vdbeaux.c``.

What is planted after the look, by one who waits for it, is not seen.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anpr_share.errors import FormatError
from anpr_share.files import storage_errors

if TYPE_CHECKING:
    from anpr_share.site.layout import Paths

_MAGIC: Final = bytes.fromhex("d9d505f920a163d7")
_TAIL: Final = 4 + 4 + len(_MAGIC)
_LONGEST_NAME: Final = 64 * 1024
_MASK: Final = 2**32 - 1


def require_own_journals(paths: Paths) -> None:
    """Refuse links in place of databases and journals, and journals that name a file of others.

    No database is opened, which would drop this process's locks on it. Raises :class:`FormatError`, and
    :class:`StorageError` for what cannot be looked at.
    """
    with storage_errors("the files of this site cannot be opened"):
        for path in (paths.site, paths.keys, paths.vault, paths.lock):
            _require_regular(path, alone=False)
            for suffix in ("-journal", "-wal", "-shm"):
                beside = path.with_name(path.name + suffix)
                if _require_regular(beside, alone=True) and suffix == "-journal":
                    _require_own(beside, paths.site)


def _require_regular(path: Path, *, alone: bool) -> bool:
    """Whether there is a file, which must be no link nor, if ``alone``, have another name: SQLite truncates it."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode) or (alone and status.st_nlink > 1):
        raise FormatError(
            f"{path.name} is a link, or no file", hint="find out who can write to the site's directory; remove it"
        )
    return True


def _require_own(journal: Path, main: Path) -> None:
    name = _super_journal(journal)
    if name is not None and not _is_ours(name, main):
        raise FormatError(
            "a journal of this site was tampered with",
            hint="find out who can write to the site's directory; if it was moved since a command was killed, "
            "move it back and run any command there first",
        )


def _super_journal(journal: Path) -> bytes | None:
    """The name of the super-journal that SQLite would find at the end of a journal."""
    # In binary and unbuffered: another command may be writing, and what is half there names nothing.
    with journal.open("rb", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL - _LONGEST_NAME))
        content = file.read(_TAIL + _LONGEST_NAME)
    if len(content) < _TAIL or not content.endswith(_MAGIC):
        return None
    length = int.from_bytes(content[-_TAIL : 4 - _TAIL])
    # SQLite reads no name that is longer than a path may be.
    if not 0 < length <= min(len(content) - _TAIL, _LONGEST_NAME):
        return None
    name = content[-_TAIL - length : -_TAIL]
    checksum = int.from_bytes(content[4 - _TAIL : 8 - _TAIL])
    signed = sum(name) - 256 * sum(byte > 127 for byte in name)
    return name if checksum in {sum(name) & _MASK, signed & _MASK} else None


def _is_ours(name: bytes, main: Path) -> bool:
    try:
        # Split as text, because a Path would drop what the system does not: the last name is what is deleted.
        directory, last = os.path.split(os.fsdecode(name))
        return (
            Path(directory).is_absolute()
            and re.fullmatch(re.escape(main.name) + "-mj[0-9A-F]+", last, re.ASCII) is not None
            and Path(directory).samefile(main.parent)
        )
    except (OSError, ValueError):
        return False
