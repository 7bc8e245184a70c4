"""What a site holds and has handed on: bundles, parts, days, their keys, and what was registered, refused and deleted.

Guarantees: records of bundles, parts, held days, coverage, registrations, notices and partners' heads are authenticated
(see :mod:`anpr_share.site.records`) and, but for parts and registrations, sealed together (see
:mod:`anpr_share.site.sealing`); a day key and a one-time key open only in the place they were made for; taking a key
out of ``keys.db`` is how data are deleted, needs no passphrase, and is one transaction with whatever else the caller
records. A day is a date or ``undated``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from anpr_share.documents.keys import OpeningKey
from anpr_share.documents.manifest import Quality
from anpr_share.documents.model import validate
from anpr_share.errors import PolicyError
from anpr_share.site.records import find, one, put

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import date, datetime

    from anpr_share.site.database import Connection
    from anpr_share.site.vault import Vault


DeletionReason = Literal["expired", "replaced", "recalled", "closed"]
"""Why a day was destroyed: its time was up, a newer table came, the force found it wrong, the agreement was closed."""


class KeyPlace(NamedTuple):
    """The one day of one table and bundle that a day key is for."""

    agreement: str
    tbl: str
    day: str
    bundle: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was exported or loaded. ``quality`` is its quality record, ``receipt`` the one that was written
    when it was loaded.
    """

    TABLE: ClassVar[str] = "bundle"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    AUTHENTICATED: ClassVar[bool] = True

    id: str
    direction: Literal["exported", "loaded"]
    agreement: str
    partner: str
    request: str
    first: date
    last: date
    manifest: str
    key_check: str
    created: datetime
    at: datetime
    quality: bytes | None = None
    receipt: bytes | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One encrypted file of the store. ``path`` is relative to the site; ``sha256`` and ``bytes`` are of the file."""

    TABLE: ClassVar[str] = "part"
    KEY: ClassVar[tuple[str, ...]] = ("bundle", "tbl", "day", "n")
    AUTHENTICATED: ClassVar[bool] = True

    bundle: str
    tbl: str
    day: str
    n: int
    agreement: str
    source: str
    rows: int
    bytes: int
    sha256: str
    path: str

    @property
    def place(self) -> KeyPlace:
        """The day whose key opens it."""
        return KeyPlace(self.agreement, self.tbl, self.day, self.bundle)


@dataclass(frozen=True, slots=True)
class HeldDay:
    """A day of a table that is held, or was, from one force: while its key is there, it is not loaded twice."""

    TABLE: ClassVar[str] = "held_day"
    KEY: ClassVar[tuple[str, ...]] = ("agreement", "source", "tbl", "day")
    AUTHENTICATED: ClassVar[bool] = True

    agreement: str
    source: str
    tbl: str
    day: str
    bundle: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many reads of a day came from a force, and how many it rejected."""

    TABLE: ClassVar[str] = "coverage"
    KEY: ClassVar[tuple[str, ...]] = ("agreement", "source", "day")
    AUTHENTICATED: ClassVar[bool] = True

    agreement: str
    source: str
    day: date
    rows: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Registered:
    """A file of a force that lies under retention: an extract, or an output for use inside the force.

    One file may be used under several agreements and for several tables; ``day`` is the oldest of the table in it, from
    which its delete-by is worked out anew.
    """

    TABLE: ClassVar[str] = "registered"
    KEY: ClassVar[tuple[str, ...]] = ("path", "agreement", "tbl")
    AUTHENTICATED: ClassVar[bool] = True

    path: str
    kind: Literal["extract", "output"]
    agreement: str
    tbl: str
    day: date
    at: datetime


@dataclass(frozen=True, slots=True)
class KnownManifest:
    """The signed manifest of a bundle, kept as evidence. ``digest`` is that of its payload, and proves it."""

    TABLE: ClassVar[str] = "manifest"
    KEY: ClassVar[tuple[str, ...]] = ("digest",)
    AUTHENTICATED: ClassVar[bool] = False

    digest: str
    envelope: bytes


@dataclass(frozen=True, slots=True)
class KnownReceipt:
    """A receipt that was made or received. ``digest`` is that of its payload."""

    TABLE: ClassVar[str] = "receipt"
    KEY: ClassVar[tuple[str, ...]] = ("digest",)
    AUTHENTICATED: ClassVar[bool] = False

    digest: str
    direction: Literal["made", "received"]
    partner: str
    agreement: str
    envelope: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class KnownNotice:
    """A notice that a force made or a university applied. ``content`` is what was sealed in it, ``receipt`` its answer.

    ``digest`` is that of its payload.
    """

    TABLE: ClassVar[str] = "notice"
    KEY: ClassVar[tuple[str, ...]] = ("digest",)
    AUTHENTICATED: ClassVar[bool] = True

    digest: str
    direction: Literal["made", "received"]
    partner: str
    agreement: str
    envelope: bytes
    content: bytes
    at: datetime
    receipt: bytes | None = None


@dataclass(frozen=True, slots=True)
class KnownCertificate:
    """The signed certificate of destruction that the closing of an agreement left."""

    TABLE: ClassVar[str] = "certificate"
    KEY: ClassVar[tuple[str, ...]] = ("agreement",)
    AUTHENTICATED: ClassVar[bool] = False

    agreement: str
    envelope: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """A bundle file that was refused. ``id`` is any unique text, ``receipt`` the digest of the one that reported it."""

    TABLE: ClassVar[str] = "refusal"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    AUTHENTICATED: ClassVar[bool] = False

    id: str
    agreement: str | None
    partner: str | None
    file: str
    bundle: str | None
    manifest: str | None
    step: int | None
    reason: str
    at: datetime
    receipt: str | None = None


@dataclass(frozen=True, slots=True)
class Deletion:
    """A day of a bundle that was destroyed, and why; ``receipt`` is the digest of the one that reported it."""

    TABLE: ClassVar[str] = "deletion"
    KEY: ClassVar[tuple[str, ...]] = ("bundle", "tbl", "day")
    AUTHENTICATED: ClassVar[bool] = False

    bundle: str
    tbl: str
    day: str
    agreement: str
    partner: str
    rows: int
    due: datetime
    at: datetime
    reason: DeletionReason
    receipt: str | None = None


@dataclass(frozen=True, slots=True)
class Witness:
    """Where a partner's ledger stood, as one of its documents said: what a rewritten history will contradict."""

    TABLE: ClassVar[str] = "witness"
    KEY: ClassVar[tuple[str, ...]] = ("partner", "document")
    AUTHENTICATED: ClassVar[bool] = True

    partner: str
    document: str
    seq: int
    hash: str
    at: datetime


def bundle(connection: Connection, vault: Vault | None, identifier: str) -> Bundle | None:
    """The bundle with this id."""
    return one(connection, Bundle, vault, "id = ?", identifier)


def bundles(
    connection: Connection,
    vault: Vault | None,
    *,
    direction: Literal["exported", "loaded"] | None = None,
    agreement: str | None = None,
) -> tuple[Bundle, ...]:
    """Bundles in the order in which they were exported or loaded."""
    where = "direction = coalesce(?, direction) AND agreement = coalesce(?, agreement)"
    return tuple(find(connection, Bundle, vault, where, direction, agreement, order="at, id"))


def newest_snapshots(loaded: Iterable[Bundle], table: str) -> dict[str, datetime]:
    """When the bundle was made that brought the newest targets, or cameras, of each force; older ones are withdrawn.

    Bundles are sealed as a whole, unlike parts and keys, so nobody without the passphrase can bring a snapshot back.
    """
    newest: dict[str, datetime] = {}
    for item in loaded:
        assert item.quality is not None
        brought = validate(Quality, item.quality, "quality record").of(table)
        if brought is not None and brought.rows_out:
            newest[item.partner] = max(item.created, newest.get(item.partner, item.created))
    return newest


def parts(
    connection: Connection,
    vault: Vault | None,
    *,
    agreement: str | None = None,
    tbl: str | None = None,
    bundle_id: str | None = None,
) -> tuple[Part, ...]:
    """Parts of the store, by day, of one agreement, table or bundle or of all."""
    where = "agreement = coalesce(?, agreement) AND tbl = coalesce(?, tbl) AND bundle = coalesce(?, bundle)"
    return tuple(
        find(connection, Part, vault, where, agreement, tbl, bundle_id, order="agreement, tbl, day, bundle, n")
    )


def held_bundles(connection: Connection, agreement: str) -> frozenset[str]:
    """The bundles of which anything is held still: a day's key is there."""
    return frozenset(
        row[0] for row in connection.rows("SELECT DISTINCT bundle FROM keys.day_key WHERE agreement = ?", agreement)
    )


def remove_parts(connection: Connection, bundle_id: str, tbl: str, day: str) -> None:
    """Forget the parts of one table and day of a bundle. Removing their files is the caller's."""
    connection.execute("DELETE FROM part WHERE bundle = ? AND tbl = ? AND day = ?", (bundle_id, tbl, day))


def held_days(connection: Connection, vault: Vault | None, agreement: str, source: str, tbl: str) -> frozenset[HeldDay]:
    """The days of a table that are held from a force: their keys are there, as they are not after a restore."""
    where = "agreement = ? AND source = ? AND tbl = ?"
    found = find(connection, HeldDay, vault, where, agreement, source, tbl)
    keys = frozenset(key_places(connection))
    return frozenset(item for item in found if KeyPlace(agreement, tbl, item.day, item.bundle) in keys)


def hold(connection: Connection, vault: Vault, days: Iterable[HeldDay]) -> None:
    """Record days as held; what is recorded of them and lost its key is forgotten.

    Raises :class:`PolicyError` if one is held already from that force.
    """
    taken: dict[tuple[str, str, str], set[str]] = {}
    for item in days:
        place = (item.agreement, item.source, item.tbl)
        if place not in taken:
            taken[place] = {held.day for held in held_days(connection, vault, *place)}
        if item.day in taken[place]:
            raise PolicyError(
                f"{item.tbl} of {item.day} is already held from this force",
                hint="the force corrects a day with a recall notice, and then it is asked for anew",
                step=5,
            )
        put(connection, item, vault)
        taken[place].add(item.day)
        connection.execute(
            "DELETE FROM part WHERE agreement = ? AND source = ? AND tbl = ? AND day = ? AND bundle <> ?",
            (*place, item.day, item.bundle),
        )


def coverage(connection: Connection, vault: Vault | None, agreement: str) -> tuple[Coverage, ...]:
    """What came of each force and day, by force and day."""
    return tuple(find(connection, Coverage, vault, "agreement = ?", agreement, order="source, day"))


def forget_coverage(connection: Connection, agreement: str, source: str, days: Iterable[str]) -> None:
    """Forget what came of days whose data a force has taken back."""
    connection.executemany(
        "DELETE FROM coverage WHERE agreement = ? AND source = ? AND day = ?",
        [(agreement, source, day) for day in days],
    )


def registered(connection: Connection, vault: Vault | None) -> tuple[Registered, ...]:
    """Registered files, those with the oldest day first."""
    return tuple(find(connection, Registered, vault, order="day, path, agreement, tbl"))


def forget_registered(connection: Connection, path: str) -> None:
    """A file that was deleted lies under retention no more."""
    connection.execute("DELETE FROM registered WHERE path = ?", (path,))


def receipts(
    connection: Connection, *, direction: Literal["made", "received"] | None = None, partner: str | None = None
) -> tuple[KnownReceipt, ...]:
    """Receipts, the oldest first."""
    where = "direction = coalesce(?, direction) AND partner = coalesce(?, partner)"
    return tuple(find(connection, KnownReceipt, None, where, direction, partner, order="at, digest"))


def notices(
    connection: Connection, vault: Vault | None, *, partner: str | None = None, agreement: str | None = None
) -> tuple[KnownNotice, ...]:
    """Notices made or received, the oldest first, of one partner and agreement or of all."""
    where = "partner = coalesce(?, partner) AND agreement = coalesce(?, agreement)"
    return tuple(find(connection, KnownNotice, vault, where, partner, agreement, order="at, digest"))


def deleted_places(connection: Connection, days: Collection[tuple[str, ...]]) -> frozenset[KeyPlace]:
    """What was destroyed of these days, each an agreement, a table and a day, and whose keys are gone."""
    rows = connection.rows("SELECT agreement, tbl, day, bundle FROM deletion")
    found = frozenset(KeyPlace(*row) for row in rows if row[:3] in days)
    return found - frozenset(key_places(connection)) if found else found


def deleted_rows(connection: Connection, agreement: str) -> dict[str, int]:
    """How many rows of each table of an agreement were destroyed so far."""
    query = "SELECT tbl, sum(rows) FROM deletion WHERE agreement = ? GROUP BY tbl"
    return dict(connection.rows(query, agreement))


def certificate(connection: Connection, agreement: str) -> KnownCertificate | None:
    """The certificate of an agreement that was closed here."""
    return one(connection, KnownCertificate, None, "agreement = ?", agreement)


def unreported_refusals(connection: Connection, partner: str) -> tuple[Refusal, ...]:
    """Refusals of a partner's bundles that no receipt has reported yet."""
    return tuple(find(connection, Refusal, None, "partner = ? AND receipt IS NULL", partner, order="at, id"))


def unreported_deletions(connection: Connection, partner: str) -> tuple[Deletion, ...]:
    """Deletions of a partner's data that no receipt has reported yet."""
    return tuple(find(connection, Deletion, None, "partner = ? AND receipt IS NULL", partner, order="at, bundle, day"))


def mark_reported(connection: Connection, items: Iterable[Refusal | Deletion], receipt: str) -> None:
    """Record which receipt reported these."""
    for item in items:
        put(connection, replace(item, receipt=receipt))


def witnesses(connection: Connection, vault: Vault | None, partner: str | None = None) -> tuple[Witness, ...]:
    """The stored heads of partners' ledgers, by partner and sequence."""
    return tuple(find(connection, Witness, vault, "partner = coalesce(?, partner)", partner, order="partner, seq"))


def put_day_key(connection: Connection, vault: Vault, place: KeyPlace, key: bytes) -> None:
    """Keep a local day key, in place of any before it."""
    connection.execute(
        "INSERT OR REPLACE INTO keys.day_key VALUES (?, ?, ?, ?, ?)", (*place, vault.wrap(("day-key", *place), key))
    )


def wrapped_day_keys(connection: Connection, agreement: str, tbl: str) -> dict[KeyPlace, bytes]:
    """All live day keys of a table, by day, for :func:`unwrap_day_key`."""
    rows = connection.rows(
        "SELECT day, bundle, wrapped FROM keys.day_key WHERE agreement = ? AND tbl = ? ORDER BY day, bundle",
        agreement,
        tbl,
    )
    return {KeyPlace(agreement, tbl, day, held): wrapped for day, held, wrapped in rows}


def unwrap_day_key(vault: Vault, place: KeyPlace, wrapped: bytes) -> bytes:
    """The day key that is wrapped. Raises :class:`VerificationError` if it was altered, or is for another place."""
    return vault.unwrap(("day-key", *place), wrapped)


def key_places(connection: Connection) -> tuple[KeyPlace, ...]:
    """The place of every day key that exists; needs no passphrase."""
    rows = connection.rows("SELECT agreement, tbl, day, bundle FROM keys.day_key ORDER BY 1, 2, 3, 4")
    return tuple(KeyPlace(*row) for row in rows)


def destroy_day_key(connection: Connection, place: KeyPlace) -> bool:
    """Delete a day key, and with it the day; needs no passphrase. Says whether it was there."""
    deleted = connection.execute(
        "DELETE FROM keys.day_key WHERE agreement = ? AND tbl = ? AND day = ? AND bundle = ?", place
    )
    return deleted.rowcount > 0


def put_onetime_key(connection: Connection, vault: Vault, request: str, first: date, key: OpeningKey) -> None:
    """Keep the private half of a window's one-time key."""
    wrapped = vault.wrap(("onetime-key", request, first.isoformat()), key.secret())
    connection.execute("INSERT INTO keys.onetime_key VALUES (?, ?, ?)", (request, first.isoformat(), wrapped))


def onetime_key(connection: Connection, vault: Vault, request: str, first: date) -> OpeningKey | None:
    """A window's one-time key, or None once it is destroyed. Raises :class:`VerificationError` if it was altered."""
    row = connection.row(
        "SELECT wrapped FROM keys.onetime_key WHERE request = ? AND first = ?", request, first.isoformat()
    )
    return None if row is None else OpeningKey(vault.unwrap(("onetime-key", request, first.isoformat()), row[0]))


def onetime_places(connection: Connection) -> tuple[tuple[str, str], ...]:
    """Request and first day of every one-time key that exists; needs no passphrase."""
    return tuple(
        (row[0], row[1]) for row in connection.rows("SELECT request, first FROM keys.onetime_key ORDER BY 1, 2")
    )


def destroy_onetime_key(connection: Connection, request: str, first: date) -> bool:
    """Delete a one-time key, and with it every copy of the bundle that it opens. Says whether it was there."""
    deleted = connection.execute(
        "DELETE FROM keys.onetime_key WHERE request = ? AND first = ?", (request, first.isoformat())
    )
    return deleted.rowcount > 0


def key_was_seen(connection: Connection, vault: Vault, key: bytes) -> bool:
    """Whether a sender's day key came here in an earlier bundle."""
    return connection.row("SELECT 1 FROM seen_key WHERE mac = ?", vault.mac("seen_key", {"key": key})) is not None


def remember_key(connection: Connection, vault: Vault, key: bytes) -> None:
    """Remember that a sender's day key came here, without keeping it. Raises :class:`StorageError` if it had before."""
    connection.execute("INSERT INTO seen_key VALUES (?)", (vault.mac("seen_key", {"key": key}),))
