"""How files appear: staged beside their final place, made visible by one transaction, recovered by the next command.

Guarantees, whenever the process is killed: a file whose transaction committed reaches its final name, and one whose
transaction did not is removed; nothing that exists is overwritten; nothing is removed but temporaries of ours, whose
name follows from the record's own random id.

    ids = stage(...)          recorded, in a transaction of its own, before the first byte is written
    write to .temporary       and fsync
    with transaction(...):    all else that belongs to it
        commit(ids)
    finish(ids)               rename, fsync the directories, forget the records

:func:`publishing` is the first and the last step around the others.

:func:`recover` does what a killed command left undone. All of this happens under the writer lock: then a staged
record that a command finds is a dead command's.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anpr_share.errors import FormatError, StorageError
from anpr_share.files import recorded, storage_errors, sync_directory
from anpr_share.site.database import Connection, transaction
from anpr_share.site.files import make_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from anpr_share.site.layout import Paths

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Publication:
    """A file or directory under way: to be written at ``temporary``, to be seen at ``final``."""

    id: str
    final: Path

    @property
    def temporary(self) -> Path:
        """Where to write it: in the final directory, so that the rename stays on one disk."""
        return self.final.parent / f".anpr-share-{self.id}.part"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What recovery found, as final paths: made visible; removed, as if never begun; gone, though committed; and held
    up, as :func:`obstacle` says why (a place that is taken, a stick pulled out).
    """

    finished: tuple[Path, ...] = ()
    discarded: tuple[Path, ...] = ()
    lost: tuple[Path, ...] = ()
    waiting: tuple[Path, ...] = ()


def stage(connection: Connection, paths: Paths, finals: Iterable[Path]) -> tuple[Publication, ...]:
    """Record files that are about to be written, in a transaction of its own; makes directories in the store alone.

    Raises :class:`StorageError` if a final place is taken or its directory is missing or fails, and
    :class:`UsageError` if its name cannot be recorded, before anything is recorded or made.
    """
    publications = tuple(Publication(secrets.token_hex(16), final.parent.resolve() / final.name) for final in finals)
    for item in publications:
        recorded(item.final)
        if os.path.lexists(item.final):
            raise StorageError(
                "a file is already where the output is to be written", hint="name another, or move the old one away"
            )
        if not _makes_directory(item, paths):
            _require_directory(item.final.parent)
    for item in publications:
        if _makes_directory(item, paths):
            make_directory(item.final.parent)
    with transaction(connection):
        connection.executemany(
            "INSERT INTO publication VALUES (?, ?, 'staging')",
            [(item.id, paths.place(item.final)) for item in publications],
        )
    return publications


def _makes_directory(item: Publication, paths: Paths) -> bool:
    """Whether the file's directory is one of the site's own, and not one that a person named."""
    return item.final.parent == paths.outbox or item.final.is_relative_to(paths.store)


def _require_directory(directory: Path) -> None:
    with storage_errors("the directory of the output cannot be used"):
        if not directory.is_dir():
            raise StorageError("the directory of the output does not exist", hint="make it, or name another")
        # Were this to fail only after the file was recorded, the record would have to wait.
        sync_directory(directory)


def commit(connection: Connection, publications: Sequence[Publication]) -> None:
    """Decide that these files appear, inside the transaction that everything else about them is in.

    Their names reach the disk first: what the transaction destroys, such as the key of a bundle, it destroys for good.
    """
    with storage_errors("a directory cannot be written to disk"):
        for directory in {item.final.parent for item in publications}:
            sync_directory(directory)
    for item in publications:
        changed = connection.execute(
            "UPDATE publication SET state = 'committed' WHERE id = ? AND state = 'staging'", (item.id,)
        )
        if changed.rowcount != 1:
            raise StorageError(
                "a file to be published was not staged, or another command took it for abandoned",
                hint="run the command again",
            )


def finish(connection: Connection, paths: Paths, publications: Sequence[Publication]) -> None:
    """Give committed files their final names and forget them. Raises :class:`StorageError` if one cannot have it."""
    outcome = _settle(connection, paths, {item.id for item in publications})
    if outcome.lost:
        raise StorageError(
            "a file was removed before it got its final name", hint="see who else can write where it was to go"
        )
    if outcome.waiting:
        raise StorageError(
            "a finished file cannot be given its final name", hint="anpr-share status says what is in its way"
        )


def abandon(connection: Connection, paths: Paths, publications: Sequence[Publication]) -> None:
    """Remove what was staged, after a failure; what is already committed stays."""
    _settle(connection, paths, {item.id for item in publications}, only_staged=True)


@contextmanager
def publishing(connection: Connection, paths: Paths, finals: Iterable[Path]) -> Iterator[tuple[Publication, ...]]:
    """Stage files; at the end finish those that were committed meanwhile and abandon the rest.

    After an error those staged are abandoned, and those committed wait for the next command, as when this one is
    killed. Raises :class:`StorageError` and :class:`UsageError` as :func:`stage` and :func:`finish` do.
    """
    publications = stage(connection, paths, finals)
    try:
        yield publications
    except BaseException:
        abandon(connection, paths, publications)
        raise
    abandon(connection, paths, publications)
    finish(connection, paths, publications)


def recover(connection: Connection, paths: Paths) -> Recovery:
    """Do what a killed command left undone. Call it under the writer lock, before writing anything.

    Trouble with one file does not stop the others, nor the command: it is in the result. Raises :class:`StorageError`
    if the database fails, and :class:`FormatError` if a record is not one of ours.
    """
    return _settle(connection, paths, None)


def is_decided(connection: Connection) -> bool:
    """Whether files are decided on that have not got their final names yet."""
    return connection.row("SELECT 1 FROM publication WHERE state = 'committed'") is not None


def pending(connection: Connection, paths: Paths) -> tuple[Publication, ...]:
    """What is recorded as under way."""
    return tuple(item for item, _ in _recorded_publications(connection, paths))


def obstacle(item: Publication) -> str | None:
    """What a person must do before a file under way can be finished or removed; None if the next command can do it."""
    try:
        if not item.final.parent.is_dir():
            return "bring its directory back: plug in the disk, or make it again"
        if os.path.lexists(item.temporary) and os.path.lexists(item.final):
            return "move away what has taken its place"
        sync_directory(item.final.parent)
    except OSError:
        return "see whether its directory can be read and written, and whether the disk works"
    return None


def _settle(connection: Connection, paths: Paths, only: set[str] | None, *, only_staged: bool = False) -> Recovery:
    found: dict[str, list[Path]] = {"finished": [], "discarded": [], "lost": [], "waiting": []}
    outcomes: dict[Publication, str] = {}
    for item, state in _recorded_publications(connection, paths):
        if (only is not None and item.id not in only) or (only_staged and state != "staging"):
            continue
        outcomes[item] = _publish(item, paths) if state == "committed" else _discard(item, paths)
    settled = []
    synced = {directory: _sync(directory) for directory in {item.final.parent for item in outcomes}}
    for item, outcome in outcomes.items():
        done = outcome != "waiting" and synced[item.final.parent]
        found[outcome if done else "waiting"].append(item.final)
        if done:
            settled.append((item.id,))
    # Only now: had the renames not reached the disk, the records would still say what to do.
    if settled:
        with transaction(connection):
            connection.executemany("DELETE FROM publication WHERE id = ?", settled)
    return Recovery(**{name: tuple(items) for name, items in found.items()})


def _sync(directory: Path) -> bool:
    try:
        if directory.is_dir():
            sync_directory(directory)
    except OSError:
        return False
    return True


def _publish(item: Publication, paths: Paths) -> str:
    try:
        if os.path.lexists(item.temporary):
            if os.path.lexists(item.final):
                return "waiting"
            item.temporary.rename(item.final)
            return "finished"
        if os.path.lexists(item.final):
            return "finished"
        # Outside the site a missing directory may be a stick that comes back; inside it is gone.
        reachable = item.final.parent.is_dir() or item.final.is_relative_to(paths.root)
        return "lost" if reachable else "waiting"
    except OSError:
        return "waiting"


def _discard(item: Publication, paths: Paths) -> str:
    try:
        mode = item.temporary.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = None
    except OSError:
        return "waiting"
    try:
        if mode is not None and stat.S_ISDIR(mode):
            shutil.rmtree(item.temporary)
        elif mode is not None:
            item.temporary.unlink()
    except OSError:
        return "waiting"
    _prune(item.final.parent, paths.store)
    return "discarded"


def _prune(directory: Path, store: Path) -> None:
    """Remove the directories in the store that a failed load made and left empty."""
    while directory.is_relative_to(store) and directory != store:
        try:
            directory.rmdir()
        except OSError:
            return
        directory = directory.parent


def _recorded_publications(connection: Connection, paths: Paths) -> list[tuple[Publication, str]]:
    result = []
    for identifier, final, state in connection.rows("SELECT id, final, state FROM publication ORDER BY rowid"):
        # These rows carry no MAC, because recovery needs no passphrase: the id is all that a deletion depends on.
        if not _ID.fullmatch(identifier) or "\0" in final:
            raise FormatError("a record of an unfinished file is not one of ours", hint="restore site.db from a backup")
        result.append((Publication(identifier, Path(os.path.normpath(paths.root / final))), state))
    return result
