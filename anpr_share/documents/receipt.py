"""A university's signed answer to a force: what it loaded, refused and deleted."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from anpr_share.documents import envelope as dsse
from anpr_share.documents.manifest import DayName, TableName
from anpr_share.documents.model import (
    Addressed,
    BundleId,
    Count,
    Document,
    Hex256,
    LedgerHead,
    UtcTime,
    read,
)

KIND = "receipt"


class LoadedDay(Document):
    """Rows of one table and day that went into the store, and those not taken: expired on arrival, recalled, or, of
    targets and cameras, older than the snapshot that is held.
    """

    table: TableName
    day: DayName
    rows: Count
    expired: Count


class Loaded(Document):
    """One bundle that was loaded. ``manifest`` is the digest of its manifest's payload."""

    bundle: BundleId
    manifest: Hex256
    at: UtcTime
    days: tuple[LoadedDay, ...]


class Refused(Document):
    """One bundle that was refused. ``step`` is the verification step, and ``reason`` the class of the error.

    ``manifest`` is known only where the signature held.
    """

    file: Hex256
    bundle: BundleId | None
    manifest: Hex256 | None
    at: UtcTime
    step: Annotated[int, Field(ge=1, le=8)] | None
    reason: Literal["format", "verification", "policy", "locked", "storage", "input", "usage"]


class Deleted(Document):
    """One table and day of one bundle that was destroyed, when it was due, and why."""

    bundle: BundleId
    table: TableName
    day: DayName
    rows: Count
    due: UtcTime
    at: UtcTime
    reason: Literal["expired", "replaced", "recalled", "closed"]


class Answered(Document):
    """One notice that was applied. ``notice`` is the digest of its payload."""

    notice: Hex256
    at: UtcTime


class Receipt(Addressed):
    """The payload of a receipt.

    ``scope`` is ``bundle`` or ``notice`` where it answers one, and ``all`` where it reports everything that no receipt
    of that scope had: what such a one does not say is deleted is held.
    """

    scope: Literal["bundle", "notice", "all"]
    loaded: tuple[Loaded, ...]
    refused: tuple[Refused, ...]
    deleted: tuple[Deleted, ...]
    notices: tuple[Answered, ...]
    head: LedgerHead

    @model_validator(mode="after")
    def _check(self) -> Self:
        # Each entry is held against all that was exported: repeated, a few bytes would cost gigabytes.
        told = [item.bundle for item in self.loaded], [item.notice for item in self.notices]
        if any(len(set(names)) < len(names) for names in told):
            raise ValueError("a bundle or a notice is answered twice")
        return self


def parse(data: bytes) -> tuple[Receipt, dsse.Envelope]:
    """Parse a receipt; its signature is still to be checked against the pinned sender."""
    envelope = dsse.parse(data, KIND)
    return read(Receipt, envelope), envelope
