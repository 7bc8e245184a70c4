"""Three SQLite files as one: durable, atomic, exactly ours, and silent about SQL and values."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from anpr_share.errors import FormatError, StorageError
from anpr_share.site import database
from anpr_share.site.layout import Paths, create_directories

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = {"main": "site.db", "keys": "keys.db", "vault": "vault.db"}

# Says "ready" on its output, then waits to be killed or to be told to go on.
CHILD = """
import os, signal, sys
from pathlib import Path
from anpr_share.site import database
from anpr_share.site.layout import Paths
paths = Paths(Path(sys.argv[1]))
"""


def child(code: str, paths: Paths) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + code, str(paths.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = create_directories(tmp_path / "a site % with # odd ? name")
    database.create(made)
    return made


@pytest.fixture
def db(paths: Paths) -> Iterator[database.Connection]:
    connection = database.connect(paths)
    yield connection
    connection.close()


def day_key(db: database.Connection, day: str) -> None:
    db.execute("INSERT INTO keys.day_key VALUES ('msv', 'reads', ?, 'b', x'00')", (day,))


@pytest.mark.parametrize("schema", ["main", "keys", "vault"])
def test_every_file_has_a_rollback_journal_full_sync_and_secure_deletion(db: database.Connection, schema: str) -> None:
    assert db.row(f"PRAGMA {schema}.journal_mode") == ("truncate",)
    assert db.row(f"PRAGMA {schema}.synchronous") == (2,)
    assert db.row(f"PRAGMA {schema}.secure_delete") == (1,)
    assert db.row(f"PRAGMA {schema}.user_version") == (1,)


def test_nothing_is_spilt_and_schemas_are_not_trusted(db: database.Connection) -> None:
    assert db.row("PRAGMA temp_store") == (2,)
    assert db.row("PRAGMA trusted_schema") == (0,)
    assert db.row("PRAGMA foreign_keys") == (1,)
    assert db.row("PRAGMA main.cache_spill") == (0,)


def test_deleted_rows_leave_no_bytes_in_the_file(paths: Paths, db: database.Connection) -> None:
    marker = b"a key that must be gone" * 3
    db.execute("INSERT INTO keys.day_key VALUES ('msv', 'reads', '2026-01-01', 'b', ?)", (marker,))
    assert marker in paths.keys.read_bytes()
    db.execute("DELETE FROM keys.day_key")
    for path in paths.root.iterdir():
        assert path.is_dir() or marker not in path.read_bytes()


def test_a_transaction_that_fails_leaves_no_file_changed(paths: Paths, db: database.Connection) -> None:
    before = [path.read_bytes() for path in (paths.site, paths.keys, paths.vault)]

    def fail_half_way() -> None:
        with database.transaction(db):
            day_key(db, "2026-01-01")
            db.execute("INSERT INTO seen_key VALUES (x'01')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert [path.read_bytes() for path in (paths.site, paths.keys, paths.vault)] == before
    assert not db.in_transaction


def test_transactions_do_not_nest(db: database.Connection) -> None:
    with database.transaction(db), pytest.raises(RuntimeError, match="open"), database.transaction(db):
        pass
    assert not db.in_transaction


@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
def test_a_transaction_over_two_files_is_atomic_when_killed(paths: Paths, moment: str) -> None:
    code = """
db = database.connect(paths)
with database.transaction(db):
    db.execute("INSERT INTO keys.day_key VALUES ('msv', 'reads', '2026-01-01', 'b', x'00')")
    db.execute("INSERT INTO seen_key VALUES (x'01')")
    if sys.argv[1:] and MOMENT == "before the commit":
        os.kill(os.getpid(), signal.SIGKILL)
os.kill(os.getpid(), signal.SIGKILL)
""".replace("MOMENT", repr(moment))
    process = child(code, paths)
    process.communicate()
    assert process.returncode == -9
    db = database.connect(paths)
    try:
        counts = db.row("SELECT (SELECT count(*) FROM keys.day_key), (SELECT count(*) FROM seen_key)")
    finally:
        db.close()
    assert counts == ((0, 0) if moment == "before the commit" else (1, 1))


def test_killed_in_the_middle_of_commits_all_files_tell_the_same_count(paths: Paths) -> None:
    code = """
db = database.connect(paths)
while True:
    with database.transaction(db):
        db.execute("INSERT INTO seen_key VALUES (randomblob(16))")
        db.execute("INSERT INTO keys.onetime_key VALUES (hex(randomblob(8)), '', x'00')")
        db.execute("INSERT INTO vault.secret VALUES ('', hex(randomblob(8)), x'00')")
    print("done", flush=True)
"""
    committed = 0
    for rounds in range(1, 9):
        process = child(code, paths)
        assert process.stdout is not None
        for _ in range(rounds):
            assert process.stdout.readline() == "done\n"
        kill(process)
        db = database.connect(paths)
        try:
            counts = db.row(
                "SELECT (SELECT count(*) FROM seen_key), (SELECT count(*) FROM keys.onetime_key),"
                " (SELECT count(*) FROM vault.secret)"
            )
        finally:
            db.close()
        assert counts is not None
        assert len(set(counts)) == 1
        assert counts[0] >= committed + rounds
        committed = counts[0]


@pytest.mark.parametrize("name", ["site.db", "keys.db", "vault.db"])
def test_a_missing_file_is_named_and_not_made(paths: Paths, name: str) -> None:
    (paths.root / name).unlink()
    with pytest.raises(StorageError, match=name):
        database.connect(paths)
    assert not (paths.root / name).exists()


def test_only_the_keys_can_be_made_anew(paths: Paths) -> None:
    paths.keys.unlink()
    connection = database.connect(paths, renew_keys=True)
    try:
        assert database.keys_are_missing(connection)
        with database.transaction(connection):
            database.make_keys(connection)
        assert not database.keys_are_missing(connection)
    finally:
        connection.close()
    database.connect(paths).close()
    paths.vault.unlink()
    with pytest.raises(StorageError, match=r"vault\.db"):
        database.connect(paths, renew_keys=True)


@pytest.mark.parametrize(("schema", "name"), FILES.items())
@pytest.mark.parametrize(
    "change",
    [
        "PRAGMA user_version = 2",
        "PRAGMA user_version = 0",
        "CREATE TABLE planted (a)",
        "CREATE VIEW planted AS SELECT 1",
    ],
)
def test_a_file_of_another_version_or_schema_is_refused(paths: Paths, schema: str, name: str, change: str) -> None:
    raw = sqlite3.connect(paths.root / name)
    raw.execute(change)
    raw.close()
    with pytest.raises(FormatError, match=name):
        database.connect(paths)


def test_a_planted_trigger_is_refused_before_it_can_run(paths: Paths) -> None:
    raw = sqlite3.connect(paths.site)
    raw.execute("CREATE TRIGGER planted AFTER INSERT ON ledger BEGIN DELETE FROM partner; END")
    raw.close()
    with pytest.raises(FormatError):
        database.connect(paths)


@pytest.mark.parametrize("name", ["site.db", "keys.db", "vault.db"])
@pytest.mark.parametrize("content", [b"no database at all, but text of some length" * 40, b""])
def test_a_damaged_file_is_refused_in_our_words(paths: Paths, name: str, content: bytes) -> None:
    (paths.root / name).write_bytes(content)
    with pytest.raises((StorageError, FormatError)) as caught:
        database.connect(paths)
    assert "SELECT" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_left_in_wal_mode_is_brought_back(paths: Paths) -> None:
    raw = sqlite3.connect(paths.site)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.close()
    connection = database.connect(paths)
    try:
        assert connection.row("PRAGMA main.journal_mode") == ("truncate",)
    finally:
        connection.close()


def test_errors_hold_neither_sql_nor_values(db: database.Connection) -> None:
    day_key(db, "AB12CDE")
    with pytest.raises(StorageError) as caught:
        day_key(db, "AB12CDE")
    assert "AB12CDE" not in str(caught.value)
    assert "day_key" not in str(caught.value)
    with pytest.raises(StorageError, match="SQLITE_ERROR"):
        db.execute("SELECT AB12CDE FROM nowhere")
    with pytest.raises(StorageError, match="SQLITE_ERROR"):
        db.rows("SELECT AB12CDE FROM nowhere")
    with pytest.raises(StorageError):
        db.executemany("INSERT INTO seen_key VALUES (?)", [(b"1",), (b"1",)])


def test_misuse_by_our_own_code_stays_what_it_is(db: database.Connection) -> None:
    with pytest.raises(sqlite3.ProgrammingError):
        db.execute("SELECT ?")


def test_a_second_writer_waits_and_then_says_why_it_gave_up(paths: Paths, db: database.Connection) -> None:
    other = database.connect(paths, timeout=0.05)
    try:
        with database.transaction(db):
            day_key(db, "2026-01-01")
            assert other.rows("SELECT * FROM keys.day_key") == []
            with pytest.raises(StorageError, match="another command"), database.transaction(other):
                pass
        with database.transaction(other):
            day_key(other, "2026-01-02")
    finally:
        other.close()


def test_only_one_command_has_the_writer_lock(paths: Paths) -> None:
    process = child("with database.writer_lock(paths): print('ready', flush=True); sys.stdin.read()", paths)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        with (
            pytest.raises(StorageError, match="another command is working on this site"),
            database.writer_lock(paths, timeout=0.05),
        ):
            pass
    finally:
        kill(process)
    # The system has taken the lock from the killed process.
    with database.writer_lock(paths, timeout=5):
        pass


def test_the_writer_lock_is_given_back_after_an_error(paths: Paths) -> None:
    with pytest.raises(ZeroDivisionError), database.writer_lock(paths):
        raise ZeroDivisionError
    with database.writer_lock(paths, timeout=0):
        pass


def test_a_lost_lock_file_is_made_anew(paths: Paths) -> None:
    paths.lock.unlink()
    with database.writer_lock(paths, timeout=0):
        assert paths.lock.exists()


def test_a_full_disk_leaves_everything_as_it_was(db: database.Connection) -> None:
    pages = db.row("PRAGMA main.page_count")
    assert pages is not None
    db.execute(f"PRAGMA main.max_page_count = {pages[0]}")

    def fill() -> None:
        with database.transaction(db):
            day_key(db, "2026-01-01")
            db.execute("INSERT INTO ledger VALUES (1, zeroblob(100000), NULL)")

    with pytest.raises(StorageError, match="the disk is full"):
        fill()
    assert db.rows("SELECT * FROM keys.day_key") == []


def test_creating_over_an_existing_site_is_refused(paths: Paths) -> None:
    with pytest.raises(StorageError, match="exists already"):
        database.create(paths)


def test_a_text_that_is_not_utf_8_is_damage_and_is_not_quoted(db: database.Connection) -> None:
    with pytest.raises(StorageError, match="is damaged") as caught:
        db.rows("SELECT CAST(x'41423132434445ff' AS TEXT)")
    assert "AB12CDE" not in str(caught.value)
    assert caught.value.__suppress_context__


# Dies of its file size limit once the journals name their super-journal and site.db is written, before keys.db is.
DIE_IN_THE_MIDDLE = """
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
db = database.connect(paths)
with database.transaction(db):
    db.execute("INSERT INTO seen_key VALUES (x'01')")
    db.execute("INSERT INTO keys.day_key VALUES ('msv', 'reads', '2026-01-01', 'b', zeroblob(600000))")
"""
MAGIC = bytes.fromhex("d9d505f920a163d7")


def super_journal_record(name: bytes) -> bytes:
    return bytes(4) + name + len(name).to_bytes(4) + (sum(name) & 0xFFFFFFFF).to_bytes(4) + MAGIC


def planted_journal(database_file: Path, name: bytes) -> bytes:
    """A hot journal without records: rolling it back changes nothing, and then its super-journal is deleted."""
    page = 4096
    pages = max(1, database_file.stat().st_size // page)
    header = MAGIC + b"".join(number.to_bytes(4) for number in (0, 0, pages, 512, page))
    return header.ljust(512, b"\0") + super_journal_record(name)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
@pytest.mark.parametrize("name", ["site", "sité"])
def test_a_commit_that_died_between_two_files_is_rolled_back_in_both(tmp_path: Path, name: str) -> None:
    paths = create_directories(tmp_path / name)
    database.create(paths)
    process = child(DIE_IN_THE_MIDDLE, paths)
    process.communicate()
    assert process.returncode == -signal.SIGXFSZ
    (left,) = paths.root.glob("site.db-mj*")
    for journal in ("site.db-journal", "keys.db-journal"):
        assert os.fsencode(left) in (paths.root / journal).read_bytes()
    db = database.connect(paths)
    try:
        assert db.row("SELECT (SELECT count(*) FROM keys.day_key), (SELECT count(*) FROM seen_key)") == (0, 0)
    finally:
        db.close()
    assert not left.exists()


@pytest.mark.parametrize("target", ["site.db", "keys.db", "vault.db", "lock.db"])
def test_a_planted_journal_deletes_no_file(paths: Paths, tmp_path: Path, target: str) -> None:
    mine = tmp_path / "thesis.txt"
    mine.write_text("precious")
    journal = paths.root / f"{target}-journal"
    journal.write_bytes(planted_journal(paths.root / target, os.fsencode(mine)))
    with pytest.raises(FormatError, match="tampered"):
        database.connect(paths)
    with pytest.raises(FormatError, match="tampered"), database.writer_lock(paths, timeout=0):
        pass
    assert mine.read_text() == "precious"


@pytest.mark.parametrize(
    "name",
    ["{root}/../site.db-mj0A9", "{root}/keys.db", "{root}/site.db-mj", "site.db-mj0A9", "{root}/x\0/site.db-mj0"],
)
def test_a_journal_may_name_only_what_sqlite_names_itself(paths: Paths, name: str) -> None:
    named = os.fsencode(name.format(root=paths.root))
    (paths.root / "site.db-journal").write_bytes(planted_journal(paths.site, named))
    with pytest.raises(FormatError, match="tampered"):
        database.connect(paths)


@pytest.mark.parametrize("tail", [MAGIC, bytes(8) + MAGIC, b"abcd" + b"\xff" * 8 + MAGIC, b"\0" * 20])
def test_a_torn_end_of_a_journal_names_nothing(paths: Paths, tail: bytes) -> None:
    (paths.root / "site.db-journal").write_bytes(tail)
    database.connect(paths).close()


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("name", ["site.db", "keys.db", "vault.db", "lock.db", "site.db-journal", "vault.db-wal"])
def test_a_link_in_place_of_a_database_or_a_journal_is_refused(paths: Paths, tmp_path: Path, name: str) -> None:
    other = tmp_path / "other"
    planted = paths.root / name
    other.write_bytes(planted.read_bytes() if planted.exists() else b"precious")
    before = other.read_bytes()
    planted.unlink(missing_ok=True)
    planted.symlink_to(other)
    with pytest.raises(FormatError, match=name):
        database.connect(paths)
    with pytest.raises(FormatError, match=name), database.writer_lock(paths, timeout=0):
        pass
    assert other.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="Windows counts links elsewhere")
def test_a_file_under_another_name_as_well_is_no_journal(paths: Paths, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    journal = paths.root / "keys.db-journal"
    journal.unlink(missing_ok=True)
    os.link(other, journal)
    with pytest.raises(FormatError, match=r"keys\.db-journal"):
        database.connect(paths)
    assert other.read_bytes() == b"precious"
