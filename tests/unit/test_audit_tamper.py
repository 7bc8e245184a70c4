"""What one without the passphrase changes at a site, and which audit finds it: every entry, record, key and file.

Each change is tried alone, and three audits follow: of the site, of the site with its passphrase, and with what its
partners keep. What none of them finds is listed here, entry by entry, and told in docs/threats.md: a change that is
found no more fails these tests, and so does one that is found although the list says otherwise.

With ``ANPR_SHARE_EVERY_CHANGE=1`` every row of every table is changed, and not two of each, and a part at every byte.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pytest

from anpr_share.cli import main
from anpr_share.documents import canonical
from anpr_share.site import holdings
from anpr_share.site.ledger import line_hash
from anpr_share.site.opened import OpenSite
from anpr_share.work import auditing
from tests.support.exchange import AGREEMENT, LANCS, PASSPHRASE, ROLES, UNI, WYP
from tests.support.tampering import BEFORE, BRIEF, Bench, Told, quick

Change = Callable[[sqlite3.Connection], object]


def running(sql: str, *values: object) -> Change:
    """A change of the databases by one statement."""
    return lambda db: db.execute(sql, values)


def doing(change: Callable[[], object]) -> Change:
    """A change of files."""
    return lambda _db: change()


EVERYTHING: Final = bool(os.environ.get("ANPR_SHARE_EVERY_CHANGE"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with quick():
        yield Bench(tmp_path_factory.mktemp("tampered") / "sites")


def test_nothing_is_found_where_nothing_was_changed(bench: Bench) -> None:
    for site in ROLES:
        assert bench.told(site).all == frozenset()


# The ledger.


@dataclass(frozen=True)
class Book:
    """A stored ledger: lines with their MACs, and checkpoints by the line that they sign."""

    lines: list[tuple[bytes, bytes | None]]
    checkpoints: dict[int, bytes]

    @classmethod
    def of(cls, bench: Bench, site: str) -> Book:
        with closing(bench.database(site)) as db:
            lines = db.execute("SELECT line, mac FROM ledger ORDER BY seq").fetchall()
            return cls(lines, dict(db.execute("SELECT seq, envelope FROM checkpoint")))

    def write(self, db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM ledger")
        db.execute("DELETE FROM checkpoint")
        db.executemany("INSERT INTO ledger VALUES (?, ?, ?)", [(n, *row) for n, row in enumerate(self.lines, 1)])
        db.executemany("INSERT INTO checkpoint VALUES (?, ?)", sorted(self.checkpoints.items()))

    def chained(self) -> Book:
        """With every line's number and hash of the line before made to fit, as anybody can."""
        before, lines = fields(self.lines[0][0])["previous"], []
        for number, (line, mac) in enumerate(self.lines, start=1):
            made = canonical.encode(fields(line) | {"previous": before, "seq": number})
            before = line_hash(made)
            lines.append((made, mac))
        return replace(self, lines=lines)

    def unsigned_from(self, number: int) -> Book:
        """Without the checkpoints that sign this line or a later one."""
        return replace(self, checkpoints={seq: data for seq, data in self.checkpoints.items() if seq < number})

    def event(self, number: int) -> str:
        return str(fields(self.lines[number - 1][0])["event"])


def fields(line: bytes) -> dict[str, Any]:
    found = canonical.decode(line)
    assert isinstance(found, dict)
    return found


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def flip(lines: list[Any], index: int) -> None:
    lines[index] = (flipped(lines[index][0], len(lines[index][0]) // 2), lines[index][1])


def alter(lines: list[Any], index: int) -> None:
    lines[index] = (canonical.encode(fields(lines[index][0]) | {"account": "somebody-else"}), lines[index][1])


def drop(lines: list[Any], index: int) -> None:
    del lines[index]


def swap(lines: list[Any], index: int) -> None:
    """Two lines change places, each with the time of the other, or their order would tell."""
    (first, mac), (second, other) = lines[index : index + 2]
    times = [fields(line)["time"] for line in (first, second)]
    lines[index] = (canonical.encode(fields(second) | {"time": times[0]}), other)
    lines[index + 1] = (canonical.encode(fields(first) | {"time": times[1]}), mac)


def insert(lines: list[Any], index: int) -> None:
    lines.insert(index, (canonical.encode(fields(lines[index][0]) | {"event": "purge", "details": {}}), None))


def cut(lines: list[Any], index: int) -> None:
    del lines[index:]


CHANGES: Final = (flip, alter, drop, swap, insert, cut)


def forgeries(book: Book, index: int) -> Iterator[tuple[str, bool, Book]]:
    """Every forgery of a line: as it is, with all after it made to fit; and each without the signatures on it, too."""
    for change in CHANGES:
        if (change is swap and index + 1 == len(book.lines)) or (change is cut and index == 0):
            continue
        lines = list(book.lines)
        change(lines, index)
        made = replace(book, lines=lines)
        kinds = {change.__name__: made}
        if change not in {flip, cut}:
            kinds[f"{change.__name__}, chained"] = made.chained()
        for kind, forged in kinds.items():
            yield kind, False, forged
            if EVERYTHING or "chained" in kind or change is cut:
                yield kind, True, forged.unsigned_from(index + 1)


LEDGER_NOT_FOUND: Final = {
    ("alter, chained", "erasure"),
    ("swap, chained", "erasure"),
    ("insert, chained", "erasure"),
    ("alter", "purge"),
    ("alter, chained", "purge"),
    ("drop", "purge"),
    ("drop, chained", "purge"),
    ("insert, chained", "purge"),
    ("cut", "purge"),
}
"""Of lines since the last signature and the last exchange, by the event of the first line that is touched."""


@pytest.mark.parametrize("site", ROLES if EVERYTHING else (UNI,))
def test_every_forgery_of_a_ledger_is_found_or_listed(bench: Bench, site: str) -> None:
    missed: set[tuple[str, str]] = set()
    cut_off: set[tuple[str, str]] = set()
    book = Book.of(bench, site)
    signed = max(book.checkpoints)
    seen = max(item.seq for other in bench.partners.values() for item in other.witnesses if item.partner == site)
    for index in range(len(book.lines)):
        for kind, unsigned, made in forgeries(book, index):
            told = bench.after("ledger", site, made.write)
            place = (site, kind, unsigned, index + 1)
            if index < seen:
                assert told.witnessed, place
            if index < seen and unsigned and "chained" in kind:
                assert told.witnessed & {"history-rewritten", "history-truncated"}, place
            if index < signed and unsigned:
                assert "record-altered" in told.proved, place
            if not told.all:
                (cut_off if index < signed else missed).add((kind, book.event(index + 1)))
    expected = LEDGER_NOT_FOUND if site == UNI else set()
    assert (missed, cut_off) == (expected, set())


def test_every_change_of_a_checkpoint_is_found(bench: Bench) -> None:
    book = Book.of(bench, UNI)
    last = max(book.checkpoints)
    for number, data in book.checkpoints.items():
        others = {seq: envelope for seq, envelope in book.checkpoints.items() if seq != number}
        for checkpoints in (
            others | {number: flipped(data, len(data) // 2)},
            others | {number: book.checkpoints[1 if number > 1 else last]},
            others,
        ):
            told = bench.after("checkpoint", UNI, replace(book, checkpoints=checkpoints).write)
            assert told.all, number


FORGED: Final[tuple[object, ...]] = ([], {}, None, -1, "x", True, [{}], "9999-12-31T23:59:59Z")


def test_whatever_a_forged_line_says_the_audit_ends(bench: Bench) -> None:
    book, seen = Book.of(bench, UNI), set()
    for index, (line, mac) in enumerate(book.lines):
        known = fields(line)
        for name in ("subject", "time", "details", *known["details"]):
            if (known["event"], name) in seen and not EVERYTHING:
                continue
            seen.add((known["event"], name))
            for value in FORGED if EVERYTHING else [FORGED[(len(seen) + step) % len(FORGED)] for step in range(4)]:
                inner = {name: value} if name in known["details"] else {}
                outer = {} if inner else {name: value}
                forged = canonical.encode(known | {"details": known["details"] | inner} | outer)
                lines = [*book.lines[:index], (forged, mac), *book.lines[index + 1 :]]
                made = replace(book, lines=lines).chained().unsigned_from(index + 1)
                assert bench.survives("forged line", UNI, made.write) or index >= max(book.checkpoints)


# Records and keys.

TABLES: Final = {
    "main": (
        *("partner", "agreement", "request", "request_window", "bundle", "part", "held_day", "coverage", "seen_key"),
        *("registered", "manifest", "receipt", "refusal", "deletion", "witness", "seal"),
    ),
    "keys": ("day_key", "onetime_key"),
    "vault": ("opening", "secret"),
}
WORDS: Final = (
    *(("pinned", "revoked"), ("made", "received"), ("exported", "loaded"), ("open", "used"), ("extract", "output")),
    *(("reads", "targets"), ("police", "university"), ("expired", "replaced"), (LANCS, WYP), (BRIEF, AGREEMENT)),
)
DAY: Final = re.compile(r"(\d{4}-\d\d-\d\d)(T\d\d:\d\d:\d\dZ)?")


def others(value: object) -> Iterator[object]:
    """Values that could well stand in the place of this one."""
    if value is None:
        yield "expired"
        yield 1
    elif isinstance(value, bytes):
        yield flipped(value, len(value) // 2)
    elif isinstance(value, int):
        yield value + 1
    else:
        assert isinstance(value, str)
        pair = next((words for words in WORDS if value in words), None)
        if found := DAY.fullmatch(value):
            for days in (-1, 365):
                yield f"{date.fromisoformat(found[1]) + timedelta(days=days)}{found[2] or ''}"
        elif pair is not None:
            yield pair[1 - pair.index(value)]
        else:
            yield value[:-1] + ("0" if value[-1] != "0" else "1")


@dataclass(frozen=True)
class Table:
    """A table as it is: its columns, which of them are its key, its rows with their numbers."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    @classmethod
    def all(cls, bench: Bench, site: str) -> Iterator[Table]:
        with closing(bench.database(site)) as db:
            for schema, names in TABLES.items():
                for name in names:
                    info = db.execute(f"PRAGMA {schema}.table_info({name})").fetchall()
                    key = tuple(row[1] for row in info if row[5])
                    rows = db.execute(f"SELECT rowid, * FROM {schema}.{name}").fetchall()
                    yield cls(f"{schema}.{name}", tuple(row[1] for row in info), key, tuple(rows))

    def some(self) -> tuple[tuple[object, ...], ...]:
        """The rows that are altered column by column."""
        return self.rows if EVERYTHING else self.rows[:1] + self.rows[1:][-1:]

    def putting(self, row: Sequence[object]) -> Change:
        return running(f"INSERT OR REPLACE INTO {self.name} VALUES ({', '.join('?' * len(row))})", *row)


def tables(bench: Bench) -> Iterator[tuple[str, Table]]:
    """The university's tables, and what a force has of its own."""
    for site in ROLES if EVERYTHING else (UNI, LANCS):
        for table in Table.all(bench, site):
            if EVERYTHING or site == UNI or table.name in {"main.registered", "main.receipt", "main.bundle"}:
                yield site, table


def alterations(table: Table) -> Iterator[tuple[str, Change]]:
    """Each row with one other value in one column."""
    for rowid, *row in table.some():
        for column, value in zip(table.columns, row, strict=True):
            for other in others(value):
                sql = f'UPDATE {table.name} SET "{column}" = ? WHERE rowid = ?'
                yield f"{table.name}.{column}", running(sql, other, rowid)


def deletions(table: Table) -> Iterator[tuple[str, Change]]:
    for rowid, *_ in table.rows if EVERYTHING else table.rows[:6]:
        sql = f"DELETE FROM {table.name} WHERE rowid = ?"
        yield f"{table.name} deleted", running(sql, rowid)


def copies(table: Table) -> Iterator[tuple[str, Change]]:
    """Each row once more, under another key."""
    for _, *row in table.some()[: None if EVERYTHING else 1]:
        for column in table.key:
            at = table.columns.index(column)
            for other in others(row[at]):
                made = (*row[:at], other, *row[at + 1 :])
                yield f"{table.name} copied", table.putting(made)


def old_rows(bench: Bench, table: Table) -> Iterator[tuple[str, Change]]:
    """Each row that once was and is no more, or is another now."""
    schema, name = table.name.split(".")
    path = bench.root / BEFORE / {"main": "site.db", "keys": "keys.db"}.get(schema, "")
    if path.is_file():
        with closing(sqlite3.connect(path)) as db:
            found = db.execute(f"SELECT * FROM {name}").fetchall()
        for row in set(found) - {tuple(row[1:]) for row in table.rows}:
            yield f"{table.name} put back", table.putting(row)


NOT_FOUND: Final = {
    # The number of the one row of its table means nothing, and a second row stops commands with the passphrase.
    *("main.seal.id", "main.seal copied", "vault.opening.id", "vault.opening copied"),
    # Destroyed or out of place: the commands that need them say so. None of these opens in another's place.
    *("vault.secret.kind", "vault.secret.name", "vault.secret.wrapped", "vault.secret deleted", "vault.secret copied"),
    "keys.onetime_key deleted",
    # Rows of what goes without the passphrase, which nobody can tell from ones that have gone.
    "main.registered deleted",
    # What a line of the ledger does not say too: notes for the next receipt, and when a row was written.
    *("main.refusal.id", "main.refusal.agreement", "main.refusal.partner", "main.refusal.manifest"),
    *("main.refusal.at", "main.refusal.receipt", "main.deletion.due", "main.deletion.at", "main.receipt.at"),
}
"""What no audit finds, at the university or the force: told in docs/threats.md."""


def test_every_change_of_a_record_or_a_key_is_found_or_listed(bench: Bench) -> None:
    missed: set[str] = set()
    for site, table in tables(bench):
        old = (partial(old_rows, bench),) if site == UNI else ()
        for place, change in chain.from_iterable(make(table) for make in (alterations, deletions, copies, *old)):
            try:
                told = bench.after(place.partition(" ")[2] or "altered", site, change)
            except sqlite3.IntegrityError:
                continue  # SQLite itself takes no such row
            if not told.all:
                missed.add(place)
    assert missed == NOT_FOUND


def put_back_whole(bench: Bench, place: tuple[str, str], *, forget: bool) -> Change:
    """A day that was destroyed, from a copy: its key, its records and its files; ``forget`` the note of its end."""
    table, day = place

    def change(db: sqlite3.Connection) -> None:
        for name, path in (("old", "site.db"), ("old_keys", "keys.db")):
            db.execute("COMMIT")
            db.execute(f"ATTACH ? AS {name}", (str(bench.root / BEFORE / path),))
            db.execute("BEGIN")
        where = "agreement = ? AND tbl = ? AND day = ?"
        db.execute(f"INSERT INTO keys.day_key SELECT * FROM old_keys.day_key WHERE {where}", (BRIEF, table, day))
        db.execute(f"INSERT INTO part SELECT * FROM old.part WHERE {where}", (BRIEF, table, day))
        assert db.total_changes == 2
        if forget:
            db.execute(f"DELETE FROM deletion WHERE {where}", (BRIEF, table, day))
        source = bench.root / BEFORE / "store" / BRIEF / table / day
        shutil.copytree(source, bench.root / UNI / "store" / BRIEF / table / day, dirs_exist_ok=True)

    return change


@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize("day", ["2026-10-01", "2026-10-02"])
def test_a_destroyed_day_that_was_put_back_whole_is_found_at_once(bench: Bench, day: str, *, forget: bool) -> None:
    told = bench.after("day put back", UNI, put_back_whole(bench, ("reads", day), forget=forget))
    assert "record-altered" in told.alone


def test_old_databases_that_were_put_back_are_found(bench: Bench) -> None:
    def put_back(*names: str) -> Told:
        def change(_db: sqlite3.Connection) -> None:
            for name in names:
                shutil.copyfile(bench.root / BEFORE / name, bench.root / UNI / name)

        return bench.after("database", UNI, change)

    assert "record-altered" in put_back("keys.db").alone
    assert "history-truncated" in put_back("site.db").witnessed
    assert "history-truncated" in put_back("site.db", "keys.db").witnessed


ODD: Final = ("", "x", "x" * 5000, "a\0b", "\n", "../../x", "0001-01-01", "9999-12-31T23:59:59Z", -1, 2**62, b"")


def test_whatever_a_column_says_the_audit_ends(bench: Bench) -> None:
    number = 0
    for site, table in tables(bench):
        for rowid, *row in table.rows[:1]:
            for column, value in zip(table.columns, row, strict=True):
                odd = [item for item in ODD if value is None or type(item) is type(value)]
                sql = f'UPDATE {table.name} SET "{column}" = ? WHERE rowid = ?'
                for item in odd if EVERYTHING else [odd[(number + step) % len(odd)] for step in range(2)]:
                    with suppress(sqlite3.IntegrityError):
                        bench.survives("odd value", site, running(sql, item, rowid))
                if isinstance(value, str):
                    broken = f"UPDATE {table.name} SET \"{column}\" = CAST(x'ff' AS TEXT) WHERE rowid = ?"
                    bench.survives("odd value", site, running(broken, rowid))
                number += 1


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "/", "../../..", ""], ids=len)
def test_a_record_of_a_part_may_name_any_path(bench: Bench, path: str) -> None:
    change = running("UPDATE part SET path = ? WHERE rowid = (SELECT min(rowid) FROM part)", path)
    assert bench.survives("odd value", UNI, change)


# Files.


def parts(bench: Bench) -> list[Path]:
    return sorted((bench.root / UNI / "store").rglob("*.parquet"))


def test_every_changed_byte_of_a_part_is_found(bench: Bench) -> None:
    path = min(parts(bench), key=lambda item: item.stat().st_size)
    with OpenSite.open(bench.root / UNI, clock=bench.clock) as site:
        [part] = [item for item in holdings.parts(site.db, None) if site.paths.root / item.path == path]
    content = path.read_bytes()
    for at in range(len(content)):
        change = partial(path.write_bytes, flipped(content, at))
        if EVERYTHING or at % 200 == 0:
            assert "part-altered" in bench.after("byte of a part", UNI, doing(change)).alone
        else:
            # What an audit asks of every part; the same without an audit around it.
            change()
            bench.tried["byte of a part"] += 1
            assert auditing._state(path, part) is False
    path.write_bytes(content)


def as_link(path: Path) -> None:
    """A link in the place of a file, to the very same content."""
    shutil.copyfile(path, path.parents[5] / "moved")
    path.unlink()
    path.symlink_to(path.parents[5] / "moved")


def as_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def exchanged(path: Path) -> None:
    """Two files change places."""
    other = next(item for item in sorted(path.parents[2].rglob("*.parquet")) if item != path)
    content = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(content)


FILES: Final[dict[str, tuple[Callable[[Path], object], str]]] = {
    "a byte less": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "part-altered"),
    "half": (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "part-altered"),
    "empty": (lambda path: path.write_bytes(b""), "part-altered"),
    "a byte more": (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "part-altered"),
    "exchanged": (exchanged, "part-altered"),
    "a link": (as_link, "part-altered"),
    "a directory": (as_directory, "key-without-data"),
    "a pipe": (as_pipe, "key-without-data"),
    "deleted": (Path.unlink, "key-without-data"),
    "another beside it": (lambda path: shutil.copyfile(path, path.with_name("planted.parquet")), "file-unexplained"),
    "a link beside it": (lambda path: path.with_name("link").symlink_to("/"), "file-unexplained"),
    "moved": (lambda path: path.rename(path.with_name("0.parquet")), "file-unexplained"),
}


@pytest.mark.parametrize("kind", FILES)
def test_whatever_is_done_to_a_file_of_the_store_is_found(bench: Bench, kind: str) -> None:
    change, code = FILES[kind]
    for path in parts(bench) if EVERYTHING else parts(bench)[:1]:
        assert code in bench.after("file", UNI, doing(partial(change, path))).alone


def test_a_file_that_was_changed_together_with_its_record_is_found_with_the_passphrase(bench: Bench) -> None:
    for path in parts(bench):
        content = path.read_bytes() + b"\0"

        def change(db: sqlite3.Connection, path: Path = path, content: bytes = content) -> None:
            path.write_bytes(content)
            name = path.relative_to(bench.root / UNI).as_posix()
            row = (hashlib.sha256(content).hexdigest(), len(content), name)
            db.execute("UPDATE part SET sha256 = ?, bytes = ? WHERE path = ?", row)
            assert db.total_changes == 1

        told = bench.after("file and record", UNI, change)
        assert not told.alone
        assert told.proved == {"record-altered"}


def is_same_toml(data: bytes, other: bytes) -> bool:
    with suppress(ValueError):
        return tomllib.loads(data.decode()) == tomllib.loads(other.decode())
    return False


@pytest.mark.parametrize("name", ["identity.json", "site.toml"])
def test_whatever_is_done_to_a_document_of_a_site_is_found(bench: Bench, name: str) -> None:
    path = bench.root / UNI / name
    content = path.read_bytes()
    every = 1 if EVERYTHING else 40
    changes = [flipped(content, at) for at in range(0, len(content), every)]
    changes += [content[:-2], b"", (bench.root / LANCS / name).read_bytes()]
    for made in changes:
        if name == "site.toml" and is_same_toml(made, content):
            continue  # a byte of a comment
        assert bench.after("document", UNI, doing(partial(path.write_bytes, made))).alone
    assert bench.after("document", UNI, doing(path.unlink)).alone == {"refused-6"}


def test_another_identity_with_all_that_goes_with_it_is_found(bench: Bench) -> None:
    """An impostor's ledger begins elsewhere; with the passphrase the site does not open; partners know another."""

    def change(_db: sqlite3.Connection) -> None:
        for name in ("identity.json", "site.toml"):
            shutil.copyfile(bench.root / WYP / name, bench.root / UNI / name)

    told = bench.after("document", UNI, change)
    assert "chain-broken" in told.alone
    assert "record-altered" in told.proved


@pytest.mark.parametrize("name", ["site.db", "vault.db", "keys.db"])
def test_a_database_that_was_taken_away_is_told_of(bench: Bench, name: str) -> None:
    told = bench.after("database", UNI, doing((bench.root / UNI / name).unlink))
    assert ("restored" if name == "keys.db" else "refused-6") in told.alone


# The command.


def test_the_command_ends_as_it_should_whatever_was_changed(bench: Bench) -> None:
    passphrase = bench.root / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_bytes(PASSPHRASE)

    def code(change: Change, *sites: str) -> int:
        words = ["--quiet", "--passphrase-file", str(passphrase), "audit", *(str(bench.root / site) for site in sites)]
        with bench.changed("command", UNI, change):
            return main.run(words, clock=bench.clock)

    assert code(running("SELECT 1"), UNI) == 0
    assert code(running("UPDATE ledger SET line = x'00' WHERE seq = 3"), UNI) == 1
    assert code(running("UPDATE partner SET status = 'revoked'"), UNI) == 1
    assert code(running("UPDATE bundle SET at = 'yesterday'"), UNI) == 3
    assert code(running("UPDATE vault.opening SET wrapped = x'00'"), UNI) == 5
    assert code(running("UPDATE vault.opening SET wrapped = x'00'"), UNI, LANCS) == 0  # and says that UNI is unproved
    assert code(doing((bench.root / UNI / "vault.db").unlink), UNI) == 6
