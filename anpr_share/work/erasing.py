"""How a day of the store is destroyed, whatever the reason.

Guarantees: its keys, its records and the note for the force's next receipt change in the caller's transaction, which
holds the ledger's line too; its files go after that, and if the process dies in between, with the next command that
comes here. A file is removed only from its place in the store, and only if its deletion is recorded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from anpr_share.files import storage_errors, sync_directory
from anpr_share.site import holdings, records
from anpr_share.site.holdings import DeletionReason, KeyPlace
from anpr_share.site.layout import Paths
from anpr_share.site.opened import OpenSite

_PART_FILE = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-[0-9]{1,4}\.parquet", re.ASCII)


def erase(
    site: OpenSite, place: KeyPlace, source: str, rows: int, reason: DeletionReason, *, due: datetime, now: datetime
) -> None:
    """Destroy the key of a day and what is recorded of its parts, inside the caller's transaction."""
    holdings.destroy_day_key(site.db, place)
    holdings.remove_parts(site.db, place.bundle, place.tbl, place.day)
    records.put(
        site.db,
        holdings.Deletion(place.bundle, place.tbl, place.day, place.agreement, source, rows, due, now, reason),
    )


def remove_erased(site: OpenSite) -> None:
    """Remove the files of days that were destroyed, and directories that hold nothing any more.

    Called by the one command that writes. Raises :class:`StorageError`.
    """
    with storage_errors("a part that was destroyed cannot be removed"):
        store = site.paths.store.resolve()
        present = tuple(_directories(store))
        erased = holdings.deleted_places(site.db, frozenset(present))
        for path in tuple(_files(store, erased)):
            path.unlink(missing_ok=True)
            sync_directory(path.parent)
        days = frozenset(place[:3] for place in erased)
        # Of agreements and tables there are few: what a run that was killed left empty of them goes too.
        for place in sorted(present, key=len, reverse=True):
            directory = store.joinpath(*place)
            if (len(place) < 3 or place in days) and directory.resolve() == directory:
                _remove_if_empty(directory)


def is_ours(paths: Paths, path: Path) -> bool:
    """Whether a file lies in the site's inbox or outbox, is no directory, and not behind a link that leads out of it.

    Never raises: a path that cannot be looked at is not ours, and shall not keep anything else from being destroyed.
    """
    # Methods of Path raise, before Python 3.12 even for a folder that may not be looked into.
    is_file = not os.path.islink(path) and not os.path.isdir(path)  # noqa: PTH112, PTH114
    return is_file and any(
        path.is_relative_to(folder) and os.path.realpath(path.parent) == str(path.parent)
        for folder in (paths.inbox, paths.outbox)
    )


def delete_registered(paths: Iterable[Path]) -> None:
    """Remove files under retention for which :func:`is_ours` holds. Raises :class:`StorageError`."""
    with storage_errors("a file whose time is up cannot be deleted"):
        for path in paths:
            path.unlink(missing_ok=True)
            if path.parent.is_dir():  # a site that was restored may have no inbox yet
                sync_directory(path.parent)


def _remove_if_empty(directory: Path) -> None:
    if not any(directory.iterdir()):
        directory.rmdir()


def leaves_files(site: OpenSite) -> bool:
    """Whether files of destroyed days are still there, as after a run that was killed."""
    with storage_errors("the store cannot be looked at"):
        store = site.paths.store.resolve()
        return any(_files(store, holdings.deleted_places(site.db, frozenset(_directories(store)))))


def _directories(store: Path, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The directories of the store: of agreements, tables and days, by their names from the store on.

    A link is none: whatever is planted in the store shall not lead a deletion out of it.
    """
    directory = store.joinpath(*above)
    if not directory.is_dir():
        return  # a site that was restored may have no store yet
    with os.scandir(directory) as found:
        for item in found:
            if item.is_dir(follow_symlinks=False):
                place = (*above, item.name)
                yield place
                if len(place) < 3:
                    yield from _directories(store, place)


def _files(store: Path, erased: frozenset[KeyPlace]) -> Iterator[Path]:
    """The parts of days that were destroyed. Only their directories are looked into, however many others there are."""
    for day in sorted({place[:3] for place in erased}):
        directory = store.joinpath(*day)
        for path in sorted(directory.iterdir()) if directory.resolve() == directory else ():
            name = _PART_FILE.fullmatch(path.name)
            if name is not None and not path.is_symlink() and KeyPlace(*day, name[1]) in erased:
                yield path
