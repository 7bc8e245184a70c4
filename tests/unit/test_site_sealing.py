"""One seal over the records of whom a site trusts: without the passphrase none is removed, added or put back."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from anpr_share.errors import LockedError, VerificationError
from anpr_share.periods import Window
from anpr_share.site import catalogue, holdings, records, sealing
from anpr_share.site.opened import OpenSite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSPHRASE = b"correct horse battery staple"
NOW = datetime(2026, 10, 8, 16, 30, 51, tzinfo=UTC)
FIRST = date(2026, 6, 1)
PARTNER = catalogue.Partner("north", "North", "police", "a" * 64, b"identity", "pinned", NOW)
AGREEMENTS = [catalogue.AcceptedAgreement("msv", number, str(number) * 64, b"terms", NOW) for number in (1, 2)]
REQUEST = catalogue.KnownRequest("d" * 64, "msv", "north", "made", b"request", NOW)
BUNDLE = holdings.Bundle("b" * 32, "loaded", "msv", "north", REQUEST.digest, FIRST, FIRST, "m" * 64, "c" * 16, NOW, NOW)
HELD = holdings.HeldDay("msv", "north", "reads", "2026-06-01", BUNDLE.id)
COVERAGE = holdings.Coverage("msv", "north", FIRST, 10, 1)
WITNESS = holdings.Witness("north", "e" * 64, 7, "a" * 64, NOW)
TABLES: dict[str, records.Record] = {
    item.TABLE: item for item in (PARTNER, AGREEMENTS[0], REQUEST, BUNDLE, HELD, COVERAGE, WITNESS)
}


def reopen(root: Path, passphrase: bytes | None = PASSPHRASE) -> OpenSite:
    return OpenSite.open(root, passphrase=passphrase, clock=lambda: NOW, lock_seconds=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with a record of every sealed table, made once; tests work on copies of it."""
    root = tmp_path_factory.mktemp("made") / "site"
    with (
        OpenSite.create(
            root, role="university", name="Uni", site_id="uni", passphrase=PASSPHRASE, clock=lambda: NOW
        ) as site,
        site.transaction() as connection,
    ):
        vault = site.require_vault()
        for item in (*TABLES.values(), AGREEMENTS[1]):
            if item is not REQUEST:
                records.add(connection, item, vault)
        catalogue.record_request(connection, vault, REQUEST, (Window(FIRST, FIRST),))
        holdings.remember_key(connection, vault, b"k" * 32)
        records.add(connection, holdings.KnownNotice("78" * 32, "made", "north", "msv", b"{}", b"{}", NOW), vault)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "site")
    return tmp_path / "site"


@pytest.fixture
def site(root: Path) -> Iterator[OpenSite]:
    with reopen(root) as opened:
        yield opened


def tamper(root: Path, *statements: str) -> None:
    """What one does who can write to the files, with SQLite's own shell."""
    with closing(sqlite3.connect(root / "site.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def row(root: Path, table: str) -> tuple[object, ...]:
    with closing(sqlite3.connect(root / "site.db")) as connection:
        found: tuple[object, ...] = connection.execute(f"SELECT * FROM {table}").fetchone()
        return found


def test_what_was_not_touched_opens_again(root: Path) -> None:
    for _ in range(2):
        reopen(root).close()


@pytest.mark.parametrize("table", sealing.SEALED)
def test_a_removed_record_of_any_sealed_table_is_found(root: Path, table: str) -> None:
    tamper(root, f"DELETE FROM {table}")
    with pytest.raises(VerificationError, match="removed or put back"):
        reopen(root)


def test_the_newer_version_of_an_agreement_cannot_be_taken_away(root: Path) -> None:
    tamper(root, "DELETE FROM agreement WHERE version = 2")
    with pytest.raises(VerificationError, match="removed or put back"):
        reopen(root)


def test_a_revoked_partner_cannot_be_put_back(root: Path, site: OpenSite) -> None:
    before = row(root, "partner")
    with site.transaction() as connection:
        catalogue.revoke(connection, site.require_vault(), "north")
    site.close()
    reopen(root).close()
    with closing(sqlite3.connect(root / "site.db")) as raw, raw:
        raw.execute(f"REPLACE INTO partner VALUES ({', '.join('?' * len(before))})", before)
    with pytest.raises(VerificationError, match="removed or put back"):
        reopen(root)


def test_a_used_window_cannot_be_forgotten(root: Path, site: OpenSite) -> None:
    with site.transaction() as connection:
        catalogue.use_window(connection, site.require_vault(), REQUEST.digest, FIRST, BUNDLE.id)
    site.close()
    tamper(root, "DELETE FROM request_window", "DELETE FROM request")
    with pytest.raises(VerificationError, match="removed or put back"):
        reopen(root)


@pytest.mark.parametrize("statement", ["DELETE FROM seal", "UPDATE seal SET mac = zeroblob(32)"])
def test_a_lost_or_false_seal_is_found(root: Path, statement: str) -> None:
    tamper(root, statement)
    with pytest.raises(VerificationError, match="removed or put back"):
        reopen(root)


def test_an_old_seal_does_not_fit_what_was_added_since(root: Path, site: OpenSite) -> None:
    _, mac = row(root, "seal")
    with site.transaction() as connection:
        catalogue.revoke(connection, site.require_vault(), "north")
    site.close()
    assert isinstance(mac, bytes)
    tamper(root, f"UPDATE seal SET mac = x'{mac.hex()}'")
    with pytest.raises(VerificationError, match="removed or put back"):
        reopen(root)


def test_macs_cannot_move_between_tables_nor_pass_for_a_table(root: Path, site: OpenSite) -> None:
    digests = set()
    for statements in (
        (),
        ("UPDATE request SET mac = (SELECT mac FROM partner)", "UPDATE partner SET mac = x'00'"),
        ("UPDATE partner SET mac = CAST('agreement' AS BLOB)",),
    ):
        tamper(root, *statements)
        records, last, _ = sealing._state(site.db)
        digests.add(sealing._digest(records, last))
    assert len(digests) == 3


def test_nothing_is_written_over_records_that_were_removed_meanwhile(root: Path, site: OpenSite) -> None:
    tamper(root, "DELETE FROM partner")
    with pytest.raises(VerificationError, match="removed or put back"), site.transaction():
        pytest.fail("the transaction began")
    assert not site.db.in_transaction
    with pytest.raises(VerificationError, match="removed or put back"):
        reopen(root)


def test_a_look_by_any_thread_can_ask_for_the_seal(root: Path, site: OpenSite) -> None:
    outcome: list[str] = []

    def look() -> None:
        with site.connection() as connection:
            site.require_sealed(connection)
            tamper(root, "DELETE FROM bundle")
            try:
                site.require_sealed(connection)
            except VerificationError as error:
                outcome.append(error.message)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    [message] = outcome
    assert "removed or put back without its passphrase" in message


def test_a_transaction_that_fails_leaves_the_seal_as_it_was(root: Path, site: OpenSite) -> None:
    before = row(root, "seal")

    def fail() -> None:
        with site.transaction() as connection:
            catalogue.revoke(connection, site.require_vault(), "north")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert row(root, "seal") == before
    reopen(root).close()


def test_without_the_passphrase_a_site_opens_and_logs_and_stays_sealed(root: Path) -> None:
    with reopen(root, None) as locked, locked.transaction():
        locked.record("purge", "msv", {})
    reopen(root).close()
    tamper(root, "DELETE FROM partner")
    reopen(root, None).close()


@pytest.mark.parametrize("table", [*TABLES, "request_window"])
def test_without_the_passphrase_no_sealed_record_is_written(root: Path, table: str) -> None:
    record = TABLES.get(table, catalogue.RequestWindow(REQUEST.digest, FIRST, FIRST))
    with reopen(root, None) as locked, pytest.raises(LockedError), locked.transaction() as connection:
        records.put(connection, record, locked.vault)


def test_keys_and_passphrase_are_renewed_under_the_same_seal(root: Path) -> None:
    (root / "keys.db").unlink()
    with reopen(root) as restored:
        assert restored.restored
        with restored.transaction():
            restored.require_vault().lock_with(restored.db, b"another horse battery staple")
    reopen(root, b"another horse battery staple").close()


def test_the_seal_is_read_in_one_statement(root: Path, site: OpenSite) -> None:
    del root
    seen: list[str] = []
    site.db.set_trace_callback(seen.append)
    site.require_sealed()
    site.db.set_trace_callback(None)
    assert len(seen) == 1


@pytest.fixture
def signed(root: Path) -> tuple[Path, list[int]]:
    """A site whose ledger has five checkpoints, one of them of several lines, and where they are."""
    with reopen(root) as site:
        for lines in (1, 3, 1, 2):
            for _ in range(lines):
                with site.transaction():
                    site.record("partner-pinned", "north", {})
            site.checkpoint()
        seqs = [seq for (seq,) in site.db.rows("SELECT seq FROM checkpoint ORDER BY seq")]
    assert len(seqs) == 5
    return root, seqs


@pytest.mark.parametrize("kept", range(5))
def test_a_ledger_cut_off_with_its_checkpoints_is_found(signed: tuple[Path, list[int]], kept: int) -> None:
    root, seqs = signed
    end = seqs[kept - 1] if kept else 0
    tamper(root, f"DELETE FROM ledger WHERE seq > {end}", f"DELETE FROM checkpoint WHERE seq > {end}")
    with pytest.raises(VerificationError, match="removed or put back"):
        reopen(root)


def test_a_ledger_cut_off_anywhere_is_found_whatever_is_done_to_the_checkpoints(
    signed: tuple[Path, list[int]],
) -> None:
    root, seqs = signed
    whole = (root / "site.db").read_bytes()
    for end in range(seqs[-1]):
        (root / "site.db").write_bytes(whole)
        tamper(root, f"DELETE FROM ledger WHERE seq > {end}")
        with reopen(root) as opened:
            with pytest.raises(VerificationError, match="a checkpoint signed line"):
                opened.ledger.verify(opened.identity.signing, "uni")
            with opened.transaction():
                opened.record("partner-pinned", "south", {})
            with pytest.raises(VerificationError, match="contradicts its checkpoint"):
                opened.checkpoint()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM checkpoint WHERE seq = (SELECT max(seq) FROM checkpoint)",
        "DELETE FROM checkpoint",
        "UPDATE checkpoint SET seq = seq + 1 WHERE seq = (SELECT max(seq) FROM checkpoint)",
        "UPDATE checkpoint SET envelope = CAST(envelope || ' ' AS BLOB) WHERE seq = (SELECT max(seq) FROM checkpoint)",
        "INSERT INTO checkpoint SELECT seq + 100, envelope FROM checkpoint ORDER BY seq LIMIT 1 OFFSET 3",
        "INSERT INTO checkpoint VALUES (1000, x'00')",
    ],
)
def test_no_other_checkpoint_takes_the_place_of_the_last(signed: tuple[Path, list[int]], statement: str) -> None:
    root, _ = signed
    tamper(root, statement)
    with pytest.raises(VerificationError, match="removed or put back"):
        reopen(root)


def test_a_checkpoint_makes_no_tampering_good(root: Path, site: OpenSite) -> None:
    with site.transaction():
        site.record("partner-pinned", "north", {})
    tamper(root, "DELETE FROM partner")
    with pytest.raises(VerificationError, match="removed or put back"):
        site.checkpoint()
    with site.connection() as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(VerificationError, match="removed or put back"):
            site.checkpoint(connection)
    with pytest.raises(VerificationError, match="removed or put back"):
        reopen(root)


def test_a_checkpoint_that_another_connection_signs_is_sealed_with_it(root: Path, site: OpenSite) -> None:
    before = row(root, "seal")
    with site.connection() as connection:
        connection.execute("BEGIN IMMEDIATE")
        site.record("consultation", "msv", {}, connection=connection)
        assert site.checkpoint(connection) is not None
        connection.execute("ROLLBACK")
        assert row(root, "seal") == before
        connection.execute("BEGIN IMMEDIATE")
        site.record("consultation", "msv", {}, connection=connection)
        assert site.checkpoint(connection) is not None
        connection.execute("COMMIT")
    site.require_sealed()
    reopen(root).close()


def test_no_checkpoint_is_taken_where_sealed_records_have_just_been_changed(site: OpenSite) -> None:
    with site.connection() as connection:
        connection.execute("BEGIN IMMEDIATE")
        catalogue.revoke(connection, site.require_vault(), "north")
        with pytest.raises(VerificationError, match="removed or put back"):
            site.checkpoint(connection)


def test_a_ledger_put_back_with_its_seal_is_not_found_here_if_no_record_changed(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "site.db", tmp_path / "old")
    with reopen(root) as site:
        with site.transaction():
            site.record("consultation", "msv", {})
        site.checkpoint()
    tamper(
        root,
        f"ATTACH '{tmp_path / 'old'}' AS old",
        *(f"DELETE FROM main.{table}" for table in ("ledger", "checkpoint", "seal")),
        *(f"INSERT INTO main.{table} SELECT * FROM old.{table}" for table in ("ledger", "checkpoint", "seal")),
    )
    with reopen(root) as cut:
        assert cut.ledger.verify(cut.identity.signing, "uni").lines == 1


def test_a_whole_site_put_back_is_not_found_here(root: Path, site: OpenSite, tmp_path: Path) -> None:
    shutil.copy(root / "site.db", tmp_path / "old")
    with site.transaction() as connection:
        catalogue.revoke(connection, site.require_vault(), "north")
    site.close()
    shutil.copy(tmp_path / "old", root / "site.db")
    with reopen(root) as rolled_back:
        held = catalogue.partner(rolled_back.db, rolled_back.vault, "north")
    assert held is not None
    assert held.status == "pinned"
