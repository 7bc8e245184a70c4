"""Whom a site trusts and what it has been asked: partners, agreements, requests and their windows.

Guarantees: each of these records is authenticated as a whole and checked at every read with the vault open, so nobody
without the passphrase can pin a partner or widen a window; and all of them together are sealed (see
:mod:`anpr_share.site.sealing`), so nobody without it can undo a revocation, open a used window or bring an older
version back by removing a record or putting an old one in its place, but by rolling back the whole of ``site.db``.
An agreement in force is the highest version that was accepted. See :mod:`anpr_share.site.records` for ``vault`` None.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from anpr_share.errors import PolicyError, StorageError
from anpr_share.periods import Window
from anpr_share.site.records import add, find, one, put

if TYPE_CHECKING:
    from datetime import date, datetime

    from anpr_share.site.database import Connection
    from anpr_share.site.vault import Vault

Direction = Literal["made", "received"]


@dataclass(frozen=True, slots=True)
class Partner:
    """Another site whose identity was pinned by its fingerprint; ``identity`` is its signed document."""

    TABLE: ClassVar[str] = "partner"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    AUTHENTICATED: ClassVar[bool] = True

    id: str
    name: str
    role: str
    fingerprint: str
    identity: bytes
    status: Literal["pinned", "revoked"]
    pinned_at: datetime


@dataclass(frozen=True, slots=True)
class AcceptedAgreement:
    """One version of an agreement, with every party's signature.

    ``closed_at`` of the version in force is when all was destroyed here, ``key_destroyed_at`` of the one in force then
    when the linkage key was.
    """

    TABLE: ClassVar[str] = "agreement"
    KEY: ClassVar[tuple[str, ...]] = ("id", "version")
    AUTHENTICATED: ClassVar[bool] = True

    id: str
    version: int
    digest: str
    envelope: bytes
    accepted_at: datetime
    closed_at: datetime | None = None
    key_destroyed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KnownRequest:
    """A request that a university made or a force received. ``digest`` is that of its payload."""

    TABLE: ClassVar[str] = "request"
    KEY: ClassVar[tuple[str, ...]] = ("digest",)
    AUTHENTICATED: ClassVar[bool] = True

    digest: str
    agreement: str
    partner: str
    direction: Direction
    envelope: bytes
    created: datetime


@dataclass(frozen=True, slots=True)
class RequestWindow:
    """One window of a request; ``used`` by the bundle that answered it."""

    TABLE: ClassVar[str] = "request_window"
    KEY: ClassVar[tuple[str, ...]] = ("request", "first")
    AUTHENTICATED: ClassVar[bool] = True

    request: str
    first: date
    last: date
    state: Literal["open", "used"] = "open"
    bundle: str | None = None

    @property
    def window(self) -> Window:
        """The days, as the pure rules know them."""
        return Window(self.first, self.last)


def partner(connection: Connection, vault: Vault | None, site: str) -> Partner | None:
    """The partner with this site id, pinned or revoked."""
    return one(connection, Partner, vault, "id = ?", site)


def partner_by_fingerprint(connection: Connection, vault: Vault | None, fingerprint: str) -> Partner | None:
    """The partner with this identity, pinned or revoked."""
    return one(connection, Partner, vault, "fingerprint = ?", fingerprint)


def partners(connection: Connection, vault: Vault | None) -> tuple[Partner, ...]:
    """All partners, by site id."""
    return tuple(find(connection, Partner, vault))


def pin(connection: Connection, vault: Vault, record: Partner) -> None:
    """Trust an identity, in place of that site's earlier one if there is one: whether that may be is the caller's
    to decide. Raises :class:`StorageError` if another site has this fingerprint.
    """
    put(connection, record, vault)


def revoke(connection: Connection, vault: Vault, site: str) -> Partner:
    """Trust a partner no more. Raises :class:`PolicyError` if it is unknown."""
    known = partner(connection, vault, site)
    if known is None:
        raise PolicyError("no partner has this id", hint="list them with: anpr-share partner list")
    revoked = replace(known, status="revoked")
    put(connection, revoked, vault)
    return revoked


def agreement(connection: Connection, vault: Vault | None, identifier: str) -> AcceptedAgreement | None:
    """The version of an agreement that is in force: the highest."""
    versions = agreement_versions(connection, vault, identifier)
    return versions[-1] if versions else None


def agreement_by_digest(connection: Connection, vault: Vault | None, digest: str) -> AcceptedAgreement | None:
    """The version with this digest, be it in force or superseded."""
    return one(connection, AcceptedAgreement, vault, "digest = ?", digest)


def agreement_versions(connection: Connection, vault: Vault | None, identifier: str) -> tuple[AcceptedAgreement, ...]:
    """Every accepted version of an agreement, the lowest first."""
    return tuple(find(connection, AcceptedAgreement, vault, "id = ?", identifier))


def agreements(connection: Connection, vault: Vault | None) -> tuple[AcceptedAgreement, ...]:
    """The version in force of every agreement, by id."""
    highest = {item.id: item for item in find(connection, AcceptedAgreement, vault, order="id, version")}
    return tuple(highest.values())


def accept(connection: Connection, vault: Vault, record: AcceptedAgreement) -> None:
    """Record a version of an agreement. Raises :class:`PolicyError` unless it is above every version held."""
    held = agreement(connection, vault, record.id)
    if held is not None and record.version <= held.version:
        raise PolicyError(
            f"version {held.version} of this agreement was accepted already, and only a higher one replaces it",
            hint="anpr-share agreement show shows what is in force",
        )
    if held is not None and held.closed_at is not None:
        raise PolicyError("this agreement was closed", hint="data sharing goes on under a new agreement, with a new id")
    add(connection, record, vault)


def close(connection: Connection, vault: Vault, identifier: str, at: datetime) -> None:
    """Mark an agreement as closed, inside the caller's transaction: no version replaces the one in force any more."""
    put(connection, replace(require(connection, vault, identifier), closed_at=at), vault)


def key_destroyed_at(connection: Connection, vault: Vault | None, identifier: str) -> datetime | None:
    """When the linkage key of an agreement was destroyed here, under whichever version; None if it never was."""
    versions = agreement_versions(connection, vault, identifier)
    return next((item.key_destroyed_at for item in versions if item.key_destroyed_at is not None), None)


def mark_key_destroyed(connection: Connection, vault: Vault, identifier: str, at: datetime) -> None:
    """Record that the linkage key is gone for good, inside the caller's transaction. The first time is kept."""
    if key_destroyed_at(connection, vault, identifier) is None:
        put(connection, replace(require(connection, vault, identifier), key_destroyed_at=at), vault)


def require(connection: Connection, vault: Vault | None, identifier: str) -> AcceptedAgreement:
    """The version of an agreement that is in force. Raises :class:`PolicyError` if none was accepted."""
    held = agreement(connection, vault, identifier)
    if held is None:
        raise PolicyError("this site has accepted no such agreement", hint="anpr-share agreement show lists them")
    return held


def record_request(connection: Connection, vault: Vault, record: KnownRequest, windows: tuple[Window, ...]) -> None:
    """Record a request and its windows, all open. Raises :class:`StorageError` if it is recorded already."""
    add(connection, record, vault)
    for item in windows:
        add(connection, RequestWindow(record.digest, item.first, item.last), vault)


def request(connection: Connection, vault: Vault | None, digest: str) -> KnownRequest | None:
    """The request with this digest."""
    return one(connection, KnownRequest, vault, "digest = ?", digest)


def requests(connection: Connection, vault: Vault | None) -> tuple[KnownRequest, ...]:
    """All requests, the oldest first."""
    return tuple(find(connection, KnownRequest, vault, order="created, digest"))


def windows(connection: Connection, vault: Vault | None, digest: str) -> tuple[RequestWindow, ...]:
    """The windows of a request, in order of their days."""
    return tuple(find(connection, RequestWindow, vault, "request = ?", digest))


def live_windows(connection: Connection, vault: Vault | None) -> tuple[RequestWindow, ...]:
    """The windows whose one-time keys are here, by request and first day."""
    keys = "SELECT request, first FROM keys.onetime_key"
    return tuple(find(connection, RequestWindow, vault, f"(request, first) IN ({keys})"))


def use_window(connection: Connection, vault: Vault, digest: str, first: date, bundle: str) -> None:
    """Mark a window as answered by a bundle, inside the caller's transaction.

    Raises :class:`StorageError` if there is no such window and :class:`PolicyError` if it is used.
    """
    known = one(connection, RequestWindow, vault, "request = ? AND first = ?", digest, first.isoformat())
    if known is None:
        raise StorageError(
            "no such window of this request is recorded here", hint="ask the university for a new request"
        )
    if known.state == "used":
        raise PolicyError(
            "this window of the request was answered already",
            step=5,
            hint="ask for these days anew, with a new request",
        )
    put(connection, replace(known, state="used", bundle=bundle), vault)
