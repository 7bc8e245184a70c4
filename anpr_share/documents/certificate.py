"""A site's signed statement that it has destroyed the data and keys of an agreement; it never holds any of them."""

from __future__ import annotations

from anpr_share.documents import envelope as dsse
from anpr_share.documents.manifest import TableName
from anpr_share.documents.model import (
    BundleId,
    Count,
    Day,
    Document,
    FormatVersion,
    Hex256,
    Identifier,
    LedgerHead,
    LongText,
    Role,
    ShortText,
    UtcTime,
    read,
)

KIND = "certificate"
METHOD = (
    "Registered files in inbox/ and outbox/ were unlinked. Day keys, one-time keys and the linkage key were deleted "
    "from the site's databases, which overwrite what is deleted in them (secure_delete). The encrypted files of the "
    "store were unlinked. The data are deleted; it is not claimed that the medium was sanitised: freed blocks, "
    "snapshots and spare cells may hold deleted records, encrypted under the site's passphrase."
)
"""How this version destroys; a certificate of another says its own."""


class CertifiedBundle(Document):
    """A bundle that was loaded, or exported. ``manifest`` is the digest of its manifest's payload."""

    bundle: BundleId
    manifest: Hex256
    partner: Identifier


class CertifiedTable(Document):
    """Rows of one table: taken into the store (exported, at a force), destroyed there before, and by the closing."""

    table: TableName
    rows: Count
    destroyed_before: Count
    destroyed_now: Count


class DestroyedKeys(Document):
    """Keys that the closing destroyed; ``linkage_key`` also if it was destroyed here before."""

    day_keys: Count
    onetime_keys: Count
    linkage_key: bool


class CertifiedFiles(Document):
    """Registered extracts and outputs: deleted by the closing, and still there where only a person may delete them."""

    deleted: Count
    elsewhere: Count


class Person(Document):
    """Who closed it: the operating system's account, and who was named."""

    account: ShortText
    actor: LongText | None


class Certificate(Document):
    """The payload of a certificate. ``first`` and ``last`` span the capture days of all the bundles' windows."""

    format: FormatVersion
    agreement: Hex256
    agreement_id: Identifier
    version: Count
    site: Identifier
    role: Role
    fingerprint: Hex256
    created: UtcTime
    bundles: tuple[CertifiedBundle, ...]
    first: Day | None
    last: Day | None
    tables: tuple[CertifiedTable, ...]
    keys: DestroyedKeys
    files: CertifiedFiles
    method: LongText
    backups: LongText | None
    person: Person
    witness: ShortText | None
    head: LedgerHead


def parse(data: bytes) -> tuple[Certificate, dsse.Envelope]:
    """Parse a certificate; its signature is still to be checked."""
    envelope = dsse.parse(data, KIND)
    return read(Certificate, envelope), envelope
