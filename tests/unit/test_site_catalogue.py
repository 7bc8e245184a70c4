"""Rows of site.db: typed, and authenticated wherever somebody could gain by changing them."""

from __future__ import annotations

import sqlite3
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from anpr_share.documents.keys import OpeningKey
from anpr_share.errors import LockedError, PolicyError, StorageError, VerificationError
from anpr_share.periods import UNDATED, Window
from anpr_share.site import catalogue, database, holdings
from anpr_share.site.catalogue import AcceptedAgreement, KnownRequest, Partner, RequestWindow
from anpr_share.site.holdings import (
    Bundle,
    Coverage,
    Deletion,
    HeldDay,
    KeyPlace,
    KnownNotice,
    KnownReceipt,
    Part,
    Refusal,
    Registered,
    Witness,
)
from anpr_share.site.layout import create_directories
from anpr_share.site.records import add, find, put
from anpr_share.site.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anpr_share.site.records import Record

AT = datetime(2026, 10, 8, 16, 30, 51, tzinfo=UTC)
DAY = date(2026, 10, 1)

PARTNER = Partner("uni", "A University", "university", "ab" * 32, b"identity", "pinned", AT)
AGREEMENT = AcceptedAgreement("msv", 1, "cd" * 32, b"envelope", AT)
REQUEST = KnownRequest("ef" * 32, "msv", "uni", "received", b"envelope", AT)
WINDOW = RequestWindow("ef" * 32, DAY, date(2026, 10, 7))
BUNDLE = Bundle(
    "b1", "loaded", "msv", "uni", "ef" * 32, DAY, date(2026, 10, 7), "01" * 32, "0123456789abcdef", AT, AT, b"{}", None
)
PART = Part(
    "b1", "reads", "2026-10-01", 0, "msv", "force", 10, 1000, "23" * 32, "store/msv/reads/2026-10-01/b1-0.parquet"
)
REGISTERED = Registered("inbox/x.csv", "extract", "msv", "reads", AT.date(), AT)
HELD = HeldDay("msv", "force", "reads", "2026-10-01", "b1")
COVERAGE = Coverage("msv", "force", DAY, 10, 1)
WITNESS = Witness("force", "89" * 32, 7, "ab" * 32, AT)
NOTICE = KnownNotice("9a" * 32, "made", "uni", "msv", b"envelope", b"content", AT)
AUTHENTICATED: list[Any] = [
    *(PARTNER, AGREEMENT, REQUEST, WINDOW, BUNDLE, PART, REGISTERED, HELD, COVERAGE, NOTICE, WITNESS),
]
PLAIN: list[Any] = [
    KnownReceipt("45" * 32, "made", "force", "msv", b"envelope", AT),
    Refusal("r1", "msv", "force", "67" * 32, None, None, 2, "verification", AT),
    Deletion("b1", "reads", "2026-10-01", "msv", "force", 10, AT, AT, "expired"),
]


@pytest.fixture
def vault() -> Vault:
    return Vault(bytes(range(32)), "north-force")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "site"


@pytest.fixture
def db(root: Path) -> Iterator[database.Connection]:
    paths = create_directories(root)
    database.create(paths)
    connection = database.connect(paths)
    yield connection
    connection.close()


def store(db: database.Connection, vault: Vault, *records: Record) -> None:
    """Store records with those that they refer to."""
    with database.transaction(db):
        for record in records:
            if isinstance(record, RequestWindow):
                put(db, REQUEST, vault)
            if isinstance(record, Part):
                put(db, BUNDLE, vault)
            put(db, record, vault)


@pytest.mark.parametrize("record", AUTHENTICATED + PLAIN, ids=lambda item: type(item).__name__)
def test_a_record_reads_back_as_written(db: database.Connection, vault: Vault, record: Any) -> None:
    store(db, vault, record)
    for used in (vault, None):
        assert find(db, type(record), used) == [record]
    with pytest.raises(StorageError, match="already"):
        add(db, record, vault)


@pytest.mark.parametrize("record", AUTHENTICATED + PLAIN, ids=lambda item: type(item).__name__)
def test_a_record_has_the_columns_of_its_table_in_order(db: database.Connection, record: Any) -> None:
    columns = [row[1] for row in db.rows(f"PRAGMA table_info({record.TABLE})")]
    assert columns == [item.name for item in fields(record)] + ["mac"] * record.AUTHENTICATED


CHANGES = [(record, item.name) for record in AUTHENTICATED for item in fields(record)]
CLOSED = {
    "pinned": "revoked",
    "received": "made",
    "made": "received",
    "open": "used",
    "loaded": "exported",
    "extract": "output",
}


@pytest.mark.parametrize(("record", "column"), CHANGES, ids=lambda item: item if isinstance(item, str) else item.TABLE)
def test_every_altered_column_of_an_authenticated_record_is_found(
    db: database.Connection, root: Path, vault: Vault, record: Any, column: str
) -> None:
    store(db, vault, record)
    value = getattr(record, column)
    kind = next(str(item.type) for item in fields(record) if item.name == column)
    other: object = "2031-01-01" if kind == "date" else "2031-01-01T00:00:00Z" if "datetime" in kind else "other"
    if kind == "int":
        other = value + 1
    elif kind.startswith("bytes"):
        other = b"other"
    elif value in CLOSED:
        other = CLOSED[value]
    raw = sqlite3.connect(root / "site.db")  # a writer without the passphrase, who ignores foreign keys
    raw.execute(f'UPDATE {record.TABLE} SET "{column}" = ?', (other,))
    raw.commit()
    raw.close()
    with pytest.raises(VerificationError, match="altered without its passphrase"):
        find(db, type(record), vault)
    assert len(find(db, type(record), None)) == 1


@pytest.mark.parametrize("record", AUTHENTICATED, ids=lambda item: type(item).__name__)
def test_an_authenticated_record_needs_the_vault_to_be_written(db: database.Connection, record: Any) -> None:
    with pytest.raises(LockedError):
        add(db, record, None)


def test_a_mac_of_another_row_does_not_fit(db: database.Connection, vault: Vault) -> None:
    store(db, vault, PARTNER, replace(PARTNER, id="other", fingerprint="12" * 32))
    db.execute("UPDATE partner SET mac = (SELECT mac FROM partner WHERE id = 'other')")
    with pytest.raises(VerificationError):
        catalogue.partner(db, vault, "uni")


def test_an_unreadable_date_is_an_error_of_ours(db: database.Connection, vault: Vault) -> None:
    store(db, vault, PARTNER)
    db.execute("UPDATE partner SET pinned_at = 'yesterday'")
    with pytest.raises(VerificationError):
        catalogue.partners(db, None)


def test_partners_are_found_pinned_replaced_and_revoked(db: database.Connection, vault: Vault) -> None:
    catalogue.pin(db, vault, PARTNER)
    assert catalogue.partner(db, vault, "uni") == PARTNER
    assert catalogue.partner_by_fingerprint(db, vault, "ab" * 32) == PARTNER
    assert catalogue.partner(db, vault, "nobody") is None
    newer = replace(PARTNER, fingerprint="34" * 32)
    catalogue.pin(db, vault, newer)
    assert catalogue.partner_by_fingerprint(db, vault, "ab" * 32) is None
    assert catalogue.revoke(db, vault, "uni").status == "revoked"
    assert catalogue.partners(db, vault) == (replace(newer, status="revoked"),)
    with pytest.raises(PolicyError, match="no partner"):
        catalogue.revoke(db, vault, "nobody")


def test_one_identity_is_pinned_once(db: database.Connection, vault: Vault) -> None:
    catalogue.pin(db, vault, PARTNER)
    with pytest.raises(StorageError):
        catalogue.pin(db, vault, replace(PARTNER, id="alias"))


def test_only_a_higher_version_replaces_an_agreement(db: database.Connection, vault: Vault) -> None:
    second = replace(AGREEMENT, version=2, digest="22" * 32)
    catalogue.accept(db, vault, AGREEMENT)
    catalogue.accept(db, vault, second)
    for refused in (replace(AGREEMENT, digest="33" * 32), replace(second, digest="33" * 32)):
        with pytest.raises(PolicyError, match="higher"):
            catalogue.accept(db, vault, refused)
    assert catalogue.agreement(db, vault, "msv") == second
    assert catalogue.agreement(db, vault, "other") is None
    assert catalogue.agreement_by_digest(db, vault, "cd" * 32) == AGREEMENT
    assert catalogue.agreement_versions(db, vault, "msv") == (AGREEMENT, second)
    other = replace(AGREEMENT, id="abc", digest="44" * 32)
    catalogue.accept(db, vault, other)
    assert catalogue.agreements(db, vault) == (other, second)


def test_a_closed_agreement_stays_closed(db: database.Connection, vault: Vault) -> None:
    catalogue.accept(db, vault, AGREEMENT)
    put(db, replace(AGREEMENT, closed_at=AT), vault)
    assert catalogue.agreement(db, vault, "msv") == replace(AGREEMENT, closed_at=AT)
    with pytest.raises(PolicyError, match="closed"):
        catalogue.accept(db, vault, replace(AGREEMENT, version=2, digest="22" * 32))


def test_a_window_is_answered_once(db: database.Connection, vault: Vault) -> None:
    days = (Window(DAY, date(2026, 10, 7)), Window(date(2026, 10, 8), date(2026, 10, 14)))
    catalogue.record_request(db, vault, REQUEST, days)
    opened = catalogue.windows(db, vault, REQUEST.digest)
    assert [(item.window, item.state) for item in opened] == [(window, "open") for window in days]
    catalogue.use_window(db, vault, REQUEST.digest, DAY, "b1")
    with pytest.raises(PolicyError, match="answered already") as caught:
        catalogue.use_window(db, vault, REQUEST.digest, DAY, "b2")
    assert caught.value.step == 5
    with pytest.raises(StorageError, match="no such window"):
        catalogue.use_window(db, vault, REQUEST.digest, date(2026, 10, 2), "b2")
    assert catalogue.windows(db, vault, REQUEST.digest) == (
        replace(opened[0], state="used", bundle="b1"),
        opened[1],
    )


def test_a_request_is_recorded_once(db: database.Connection, vault: Vault) -> None:
    later = replace(REQUEST, digest="99" * 32, partner="other", created=AT.replace(year=2027))
    catalogue.record_request(db, vault, later, ())
    catalogue.record_request(db, vault, REQUEST, ())
    assert catalogue.request(db, vault, REQUEST.digest) == REQUEST
    assert catalogue.requests(db, vault) == (REQUEST, later)
    with pytest.raises(StorageError):
        catalogue.record_request(db, vault, REQUEST, ())


def test_bundles_and_parts_are_found_by_what_they_belong_to(db: database.Connection, vault: Vault) -> None:
    exported = replace(BUNDLE, id="b2", direction="exported", at=AT.replace(year=2025))
    second = replace(PART, n=1)
    store(db, vault, BUNDLE, exported, second, PART, replace(PART, tbl="targets", day=UNDATED))
    assert holdings.bundle(db, vault, "b1") == BUNDLE
    assert holdings.bundles(db, vault) == (exported, BUNDLE)
    assert holdings.bundles(db, vault, direction="loaded", agreement="msv") == (BUNDLE,)
    assert holdings.parts(db, vault, tbl="reads", agreement="msv", bundle_id="b1") == (PART, second)
    holdings.remove_parts(db, "b1", "reads", "2026-10-01")
    assert [item.tbl for item in holdings.parts(db, vault)] == ["targets"]


def test_a_part_needs_its_bundle(db: database.Connection, vault: Vault) -> None:
    with pytest.raises(StorageError):
        add(db, PART, vault)


def test_a_held_day_is_not_held_twice(db: database.Connection, vault: Vault) -> None:
    days = [HELD, replace(HELD, source="other-force"), replace(HELD, tbl="targets")]
    holdings.hold(db, vault, days)
    assert (
        holdings.held_days(db, vault, "msv", "force", "reads") == frozenset()
    )  # no key, so nothing that could be read
    for item in days:
        holdings.put_day_key(db, vault, KeyPlace(item.agreement, item.tbl, item.day, item.bundle), bytes(32))
    with pytest.raises(PolicyError, match="already held") as caught:
        holdings.hold(db, vault, [replace(HELD, bundle="b2")])
    assert caught.value.step == 5
    assert holdings.held_days(db, vault, "msv", "force", "reads") == {HELD}


def test_reports_are_made_once(db: database.Connection) -> None:
    _, refusal, deletion = PLAIN
    for record in (refusal, deletion):
        add(db, record)
    found: list[Refusal | Deletion] = [
        *holdings.unreported_refusals(db, "force"),
        *holdings.unreported_deletions(db, "force"),
    ]
    assert found == [refusal, deletion]
    holdings.mark_reported(db, found, "45" * 32)
    assert holdings.unreported_refusals(db, "force") == ()
    assert holdings.unreported_deletions(db, "force") == ()
    assert find(db, Deletion, None) == [replace(deletion, receipt="45" * 32)]


def test_registered_files_come_in_the_order_of_their_days(db: database.Connection, vault: Vault) -> None:
    sooner = replace(REGISTERED, path="outbox/y.csv", kind="output", day=AT.date().replace(year=2025))
    store(db, vault, REGISTERED, sooner)
    assert holdings.registered(db, vault) == (sooner, REGISTERED)


def test_a_file_of_two_agreements_and_two_tables_keeps_each_day(db: database.Connection, vault: Vault) -> None:
    later = replace(REGISTERED, agreement="other", day=AT.date().replace(year=2028))
    targets = replace(later, tbl="targets")
    for record in (REGISTERED, later, targets, replace(REGISTERED, at=AT.replace(year=2027))):
        put(db, record, vault)
    assert holdings.registered(db, vault) == (replace(REGISTERED, at=AT.replace(year=2027)), later, targets)
    holdings.forget_registered(db, later.path)
    assert holdings.registered(db, vault) == ()


def test_coverage_receipts_and_witnesses_are_listed(db: database.Connection, vault: Vault) -> None:
    for record in (*PLAIN, COVERAGE, WITNESS):
        add(db, record, vault)
    assert holdings.coverage(db, vault, "msv") == (COVERAGE,)
    assert holdings.receipts(db, direction="made", partner="force") == (PLAIN[0],)
    assert holdings.receipts(db, direction="received") == ()
    assert holdings.witnesses(db, vault) == holdings.witnesses(db, vault, "force") == (WITNESS,)


PLACE = KeyPlace("msv", "reads", "2026-10-01", "b1")


def test_a_day_key_lives_until_it_is_destroyed(db: database.Connection, vault: Vault) -> None:
    other = PLACE._replace(day="2026-10-02")
    holdings.put_day_key(db, vault, PLACE, b"1" * 32)
    holdings.put_day_key(db, vault, other, b"2" * 32)
    wrapped = holdings.wrapped_day_keys(db, "msv", "reads")
    opened = {place: holdings.unwrap_day_key(vault, place, key) for place, key in wrapped.items()}
    assert opened == {PLACE: b"1" * 32, other: b"2" * 32}
    assert holdings.key_places(db) == (PLACE, other)
    assert holdings.destroy_day_key(db, PLACE)
    assert not holdings.destroy_day_key(db, PLACE)
    assert list(holdings.wrapped_day_keys(db, "msv", "reads")) == [other]
    assert holdings.key_places(db) == (other,)


def test_a_key_moved_to_another_day_does_not_open(db: database.Connection, vault: Vault) -> None:
    holdings.put_day_key(db, vault, PLACE, b"1" * 32)
    db.execute("UPDATE keys.day_key SET day = '2031-01-01'")
    [(place, wrapped)] = holdings.wrapped_day_keys(db, "msv", "reads").items()
    with pytest.raises(VerificationError, match="altered, or belongs elsewhere"):
        holdings.unwrap_day_key(vault, place, wrapped)


def test_a_onetime_key_opens_what_was_sealed_to_it_until_it_is_destroyed(db: database.Connection, vault: Vault) -> None:
    key = OpeningKey.generate()
    holdings.put_onetime_key(db, vault, "ef" * 32, DAY, key)
    again = holdings.onetime_key(db, vault, "ef" * 32, DAY)
    assert again is not None
    assert again.public == key.public
    assert holdings.onetime_places(db) == (("ef" * 32, "2026-10-01"),)
    db.execute("UPDATE keys.onetime_key SET first = '2026-10-02'")
    with pytest.raises(VerificationError):
        holdings.onetime_key(db, vault, "ef" * 32, date(2026, 10, 2))
    assert holdings.destroy_onetime_key(db, "ef" * 32, date(2026, 10, 2))
    assert holdings.onetime_key(db, vault, "ef" * 32, date(2026, 10, 2)) is None


def test_a_senders_key_is_recognised_without_being_kept(db: database.Connection, root: Path, vault: Vault) -> None:
    key = b"a sender's day key, of 32 bytes."
    assert not holdings.key_was_seen(db, vault, key)
    holdings.remember_key(db, vault, key)
    assert holdings.key_was_seen(db, vault, key)
    with pytest.raises(StorageError):
        holdings.remember_key(db, vault, key)
    assert key not in (root / "site.db").read_bytes()
