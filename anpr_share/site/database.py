"""The three SQLite files of a site behind one connection, and the lock that one writing command holds.

Guarantees: ``site.db`` is ``main``, ``keys.db`` is ``keys`` and ``vault.db`` is ``vault``; a transaction over them is
atomic (rollback journals, never WAL, whose transactions are atomic for each file alone); what is deleted is overwritten
(``secure_delete``); nothing is spilt to temporary files, nor to the databases before a commit, so that readers are
not kept out; a file whose schema is not exactly ours is refused, so that a planted trigger or view never runs; and so
is a journal that would have SQLite delete another file (see :mod:`anpr_share.site.journals`). SQLite's own error texts,
which may hold anything, never come out.

Connections belong to one thread. Another thread opens its own, which is cheap (a millisecond).
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from anpr_share.errors import AnprShareError, FormatError, StorageError
from anpr_share.files import FILE_MODE, storage_errors
from anpr_share.site.files import create_private
from anpr_share.site.journals import require_own_journals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from anpr_share.site.layout import Paths

VERSION = 1
LOCK_SECONDS = 60.0
"""How long a command waits for another one."""

_AUTHENTICATED = "mac BLOB NOT NULL"

SCHEMAS = {
    "main": (
        f"""CREATE TABLE partner (id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL,
            fingerprint TEXT NOT NULL UNIQUE, identity BLOB NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('pinned', 'revoked')), pinned_at TEXT NOT NULL,
            {_AUTHENTICATED}) STRICT""",
        f"""CREATE TABLE agreement (id TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL UNIQUE,
            envelope BLOB NOT NULL, accepted_at TEXT NOT NULL, closed_at TEXT, key_destroyed_at TEXT,
            {_AUTHENTICATED}, PRIMARY KEY (id, version)) STRICT""",
        f"""CREATE TABLE request (digest TEXT PRIMARY KEY, agreement TEXT NOT NULL, partner TEXT NOT NULL,
            direction TEXT NOT NULL CHECK (direction IN ('made', 'received')), envelope BLOB NOT NULL,
            created TEXT NOT NULL, {_AUTHENTICATED}) STRICT""",
        f"""CREATE TABLE request_window (request TEXT NOT NULL REFERENCES request (digest), first TEXT NOT NULL,
            last TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('open', 'used')), bundle TEXT,
            {_AUTHENTICATED}, PRIMARY KEY (request, first)) STRICT""",
        f"""CREATE TABLE bundle (id TEXT PRIMARY KEY,
            direction TEXT NOT NULL CHECK (direction IN ('exported', 'loaded')), agreement TEXT NOT NULL,
            partner TEXT NOT NULL, request TEXT NOT NULL, first TEXT NOT NULL, last TEXT NOT NULL,
            manifest TEXT NOT NULL, key_check TEXT NOT NULL, created TEXT NOT NULL, at TEXT NOT NULL,
            quality BLOB, receipt BLOB, {_AUTHENTICATED}) STRICT""",
        f"""CREATE TABLE part (bundle TEXT NOT NULL REFERENCES bundle (id), tbl TEXT NOT NULL, day TEXT NOT NULL,
            n INTEGER NOT NULL, agreement TEXT NOT NULL, source TEXT NOT NULL, rows INTEGER NOT NULL,
            bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, path TEXT NOT NULL,
            {_AUTHENTICATED}, PRIMARY KEY (bundle, tbl, day, n)) STRICT""",
        "CREATE INDEX part_by_day ON part (agreement, tbl, day)",
        f"""CREATE TABLE held_day (agreement TEXT NOT NULL, source TEXT NOT NULL, tbl TEXT NOT NULL,
            day TEXT NOT NULL, bundle TEXT NOT NULL,
            {_AUTHENTICATED}, PRIMARY KEY (agreement, source, tbl, day)) STRICT""",
        f"""CREATE TABLE coverage (agreement TEXT NOT NULL, source TEXT NOT NULL, day TEXT NOT NULL,
            rows INTEGER NOT NULL, rejected INTEGER NOT NULL,
            {_AUTHENTICATED}, PRIMARY KEY (agreement, source, day)) STRICT""",
        "CREATE TABLE seen_key (mac BLOB PRIMARY KEY) STRICT",
        f"""CREATE TABLE registered (path TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('extract', 'output')), agreement TEXT NOT NULL,
            tbl TEXT NOT NULL, day TEXT NOT NULL, at TEXT NOT NULL,
            {_AUTHENTICATED}, PRIMARY KEY (path, agreement, tbl)) STRICT""",
        "CREATE TABLE manifest (digest TEXT PRIMARY KEY, envelope BLOB NOT NULL) STRICT",
        f"""CREATE TABLE notice (digest TEXT PRIMARY KEY,
            direction TEXT NOT NULL CHECK (direction IN ('made', 'received')), partner TEXT NOT NULL,
            agreement TEXT NOT NULL, envelope BLOB NOT NULL, content BLOB NOT NULL, at TEXT NOT NULL, receipt BLOB,
            {_AUTHENTICATED}) STRICT""",
        "CREATE TABLE certificate (agreement TEXT PRIMARY KEY, envelope BLOB NOT NULL, at TEXT NOT NULL) STRICT",
        """CREATE TABLE publication (id TEXT PRIMARY KEY, final TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('staging', 'committed'))) STRICT""",
        """CREATE TABLE receipt (digest TEXT PRIMARY KEY,
            direction TEXT NOT NULL CHECK (direction IN ('made', 'received')), partner TEXT NOT NULL,
            agreement TEXT NOT NULL, envelope BLOB NOT NULL, at TEXT NOT NULL) STRICT""",
        """CREATE TABLE refusal (id TEXT PRIMARY KEY, agreement TEXT, partner TEXT, file TEXT NOT NULL, bundle TEXT,
            manifest TEXT, step INTEGER, reason TEXT NOT NULL, at TEXT NOT NULL, receipt TEXT) STRICT""",
        """CREATE TABLE deletion (bundle TEXT NOT NULL, tbl TEXT NOT NULL, day TEXT NOT NULL,
            agreement TEXT NOT NULL, partner TEXT NOT NULL, rows INTEGER NOT NULL, due TEXT NOT NULL,
            at TEXT NOT NULL, reason TEXT NOT NULL, receipt TEXT, PRIMARY KEY (bundle, tbl, day)) STRICT""",
        f"""CREATE TABLE witness (partner TEXT NOT NULL, document TEXT NOT NULL, seq INTEGER NOT NULL,
            hash TEXT NOT NULL, at TEXT NOT NULL, {_AUTHENTICATED}, PRIMARY KEY (partner, document)) STRICT""",
        f"CREATE TABLE seal (id INTEGER PRIMARY KEY CHECK (id = 1), {_AUTHENTICATED}) STRICT",
        "CREATE TABLE ledger (seq INTEGER PRIMARY KEY, line BLOB NOT NULL, mac BLOB) STRICT",
        "CREATE TABLE checkpoint (seq INTEGER PRIMARY KEY, envelope BLOB NOT NULL) STRICT",
    ),
    "keys": (
        """CREATE TABLE day_key (agreement TEXT NOT NULL, tbl TEXT NOT NULL, day TEXT NOT NULL,
            bundle TEXT NOT NULL, wrapped BLOB NOT NULL, PRIMARY KEY (agreement, tbl, day, bundle)) STRICT""",
        """CREATE TABLE onetime_key (request TEXT NOT NULL, first TEXT NOT NULL, wrapped BLOB NOT NULL,
            PRIMARY KEY (request, first)) STRICT""",
    ),
    "vault": (
        """CREATE TABLE opening (id INTEGER PRIMARY KEY CHECK (id = 1), site TEXT NOT NULL, salt BLOB NOT NULL,
            memory_kib INTEGER NOT NULL, iterations INTEGER NOT NULL, lanes INTEGER NOT NULL,
            wrapped BLOB NOT NULL) STRICT""",
        """CREATE TABLE secret (kind TEXT NOT NULL, name TEXT NOT NULL, wrapped BLOB NOT NULL,
            PRIMARY KEY (kind, name)) STRICT""",
    ),
}
_FILES = {"main": "site.db", "keys": "keys.db", "vault": "vault.db"}
_BLANK: tuple[int, tuple[Any, ...]] = (0, ())

_MEANINGS = {
    sqlite3.SQLITE_BUSY: ("another command is working on this site", "try again when it has finished"),
    sqlite3.SQLITE_LOCKED: ("another command is working on this site", "try again when it has finished"),
    sqlite3.SQLITE_FULL: ("the disk is full", "nothing was changed; free some space and run the command again"),
    sqlite3.SQLITE_READONLY: ("the files of this site cannot be written", "check who owns them"),
    sqlite3.SQLITE_PERM: ("the files of this site cannot be opened", "check who owns them"),
    sqlite3.SQLITE_CANTOPEN: ("the files of this site cannot be opened", "check who owns them"),
    sqlite3.SQLITE_IOERR: ("the disk failed under a database of this site", "check the disk"),
    sqlite3.SQLITE_CORRUPT: ("a database of this site is damaged", "restore site.db and vault.db from a backup"),
    sqlite3.SQLITE_NOTADB: ("a database of this site is damaged", "restore site.db and vault.db from a backup"),
    sqlite3.SQLITE_CONSTRAINT: ("a record is there already, or does not fit the others", None),
    sqlite3.SQLITE_TOOBIG: ("a record is too large", None),
}


@contextmanager
def _ours() -> Iterator[None]:
    """Raise SQLite's errors as :class:`StorageError`.

    Those without a code are Python's: a text that is not UTF-8, which its message quotes; or misuse by our code, which
    stays.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None and not isinstance(error, sqlite3.OperationalError):
            raise
        if code is None:
            code = sqlite3.SQLITE_CORRUPT
        unknown = (f"a database of this site refused an operation ({getattr(error, 'sqlite_errorname', code)})", None)
        message, hint = _MEANINGS.get(code & 0xFF, unknown)
        raise StorageError(message, hint=hint) from None


class Connection(sqlite3.Connection):
    """A connection whose errors are ours. Rows are fetched at once: a half-read cursor would keep a lock."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run one statement. Raises :class:`StorageError`."""
        with _ours():
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Run one statement for each set of parameters. Raises :class:`StorageError`."""
        with _ours():
            return super().executemany(sql, parameters)

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises :class:`StorageError`."""
        with _ours():
            return super().execute(sql, parameters).fetchall()

    def row(self, sql: str, *parameters: object) -> tuple[Any, ...] | None:
        """The first row of a query, if there is one. Raises :class:`StorageError`."""
        found = self.rows(sql, *parameters)
        return found[0] if found else None


def create(paths: Paths) -> None:
    """Create the four empty database files of a new site. Raises :class:`StorageError` if one exists."""
    for path in (paths.site, paths.keys, paths.vault, paths.lock):
        create_private(path)
    connection = _attach(paths, LOCK_SECONDS)
    try:
        with transaction(connection):
            for schema in SCHEMAS:
                _make(connection, schema)
    finally:
        connection.close()


def connect(paths: Paths, *, timeout: float = LOCK_SECONDS, renew_keys: bool = False) -> Connection:
    """Open the databases of a site. The caller closes the connection, in the same thread.

    ``timeout`` is how many seconds a statement waits for another command. ``renew_keys`` makes a missing ``keys.db``
    anew, blank, which a site restored from a backup needs; see :func:`keys_are_missing`. Raises :class:`StorageError`
    for a file that is missing or damaged and :class:`FormatError` for one of another version or schema, or for a
    planted link or journal.
    """
    for path in (paths.site, paths.vault, paths.keys):
        if not path.is_file() and not (renew_keys and path == paths.keys):
            raise StorageError(f"this site lacks {path.name}", hint="restore it from a backup")
    if renew_keys and not paths.keys.exists():
        create_private(paths.keys)
    connection = _attach(paths, timeout)
    try:
        for schema in SCHEMAS:
            found = _schema_of(connection, schema)
            if found == _BLANK and schema == "keys" and renew_keys:
                continue
            if found != _expected(schema):
                raise FormatError(
                    f"{_FILES[schema]} is not of the version and schema that this program knows",
                    hint="a newer anpr-share may have made this site, or the file was tampered with",
                )
    except AnprShareError:
        connection.close()
        raise
    return connection


def keys_are_missing(connection: Connection) -> bool:
    """Whether ``keys.db`` was just made and is not yet filled: the mark of a site restored from a backup."""
    return _schema_of(connection, "keys") == _BLANK


def make_keys(connection: Connection) -> None:
    """Fill a blank ``keys.db``, inside the caller's transaction."""
    _make(connection, "keys")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction over all three files: all of it or nothing. Raises :class:`StorageError`.

    Raises :class:`RuntimeError` if one is open on this connection, because an inner one could not be undone alone.
    """
    if connection.in_transaction:
        raise RuntimeError("a transaction is open on this connection")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with _ours():
            connection.rollback()
        raise


@contextmanager
def writer_lock(paths: Paths, *, timeout: float = LOCK_SECONDS) -> Iterator[None]:
    """Be the one command that writes to this site. The system releases the lock if the process dies.

    Raises :class:`StorageError` if another command still has it after ``timeout`` seconds, and :class:`FormatError`
    for a planted journal.
    """
    require_own_journals(paths)
    # It may be missing, as after a restore; of two commands that find it so, whichever makes it serves both.
    with storage_errors("the lock of this site cannot be made"):
        paths.lock.touch(mode=FILE_MODE, exist_ok=True)
    with _ours():
        connection = sqlite3.connect(_uri(paths.lock), uri=True, timeout=timeout, isolation_level=None)
    try:
        with _ours():
            connection.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        connection.close()


def _uri(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=rw"


def _attach(paths: Paths, timeout: float) -> Connection:
    require_own_journals(paths)
    with _ours():
        connection = sqlite3.connect(
            _uri(paths.site), uri=True, timeout=timeout, isolation_level=None, factory=Connection
        )
    try:
        # The journal settings of each file come before anything is written to it.
        for pragma in ("trusted_schema = OFF", "temp_store = MEMORY", "foreign_keys = ON", "cache_spill = OFF"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("ATTACH ? AS keys", (_uri(paths.keys),))
        connection.execute("ATTACH ? AS vault", (_uri(paths.vault),))
        for schema, name in _FILES.items():
            mode = connection.row(f"PRAGMA {schema}.journal_mode = TRUNCATE")
            if mode != ("truncate",):
                raise StorageError(f"{name} cannot be switched to a rollback journal", hint="use a local disk")
            connection.execute(f"PRAGMA {schema}.synchronous = FULL")
            connection.execute(f"PRAGMA {schema}.secure_delete = ON")
    except AnprShareError:
        connection.close()
        raise
    return connection


def _make(connection: Connection, schema: str) -> None:
    for statement in SCHEMAS[schema]:
        for head in ("CREATE TABLE ", "CREATE INDEX "):
            if statement.startswith(head):
                connection.execute(f"{head}{schema}.{statement.removeprefix(head)}")
    connection.execute(f"PRAGMA {schema}.user_version = {VERSION}")


def _schema_of(connection: Connection, schema: str) -> tuple[int, tuple[Any, ...]]:
    version = connection.row(f"PRAGMA {schema}.user_version")
    found = connection.rows(f"SELECT type, name, tbl_name, sql FROM {schema}.sqlite_schema ORDER BY type, name")  # noqa: S608
    return (version[0] if version else 0), tuple(found)


@cache
def _expected(schema: str) -> tuple[int, tuple[Any, ...]]:
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=Connection)
    try:
        for statement in SCHEMAS[schema]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        return _schema_of(connection, "main")
    finally:
        connection.close()
