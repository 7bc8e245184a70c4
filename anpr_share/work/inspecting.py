"""What a bundle or a certificate says of itself, to anyone who holds the file.

Nothing of it is proved, but a certificate's signature where its signer is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from anpr_share.documents import certificate as certificates
from anpr_share.documents import envelope as dsse
from anpr_share.documents.certificate import Certificate
from anpr_share.documents.identity import Identity
from anpr_share.errors import PolicyError
from anpr_share.files import open_regular, storage_errors
from anpr_share.site import catalogue
from anpr_share.site.opened import OpenSite
from anpr_share.work import verifying


@dataclass(frozen=True, slots=True)
class InspectedTable:
    """One table of a bundle; ``rows`` is None where the manifest does not say."""

    table: str
    columns: tuple[str, ...]
    days: int
    parts: int
    rows: int | None
    bytes: int


@dataclass(frozen=True, slots=True)
class InspectResult:
    """The manifest, in short."""

    bundle: str
    agreement: str
    agreement_digest: str
    request: str
    sender: str
    recipient: str
    first: date
    last: date
    created: datetime
    normaliser: str
    key_check: str
    tables: tuple[InspectedTable, ...]


@dataclass(frozen=True, slots=True)
class CertificateResult:
    """A certificate of destruction; ``signed_by`` is the site whose signature was checked, None if none was."""

    certificate: Certificate
    digest: str
    signed_by: str | None


def is_document(path: Path) -> bool:
    """Whether a file is a signed document, and so no bundle. Raises :class:`StorageError`."""
    with open_regular(path, "the bundle") as file, storage_errors("the bundle cannot be read"):
        return file.read(1) == b"{"


def certificate(data: bytes, signer: Identity | None = None) -> CertificateResult:
    """Read a certificate; with ``signer``, who is said to have made it, its signature is checked.

    Raises :class:`VerificationError` for another document or a bad signature, :class:`PolicyError` for another site's.
    """
    found, envelope = certificates.parse(data)
    if signer is not None:
        if found.fingerprint != signer.fingerprint:
            raise PolicyError(
                "the certificate is of another site than the one given",
                hint="give the identity.json of the site that closed the agreement",
            )
        dsse.verify(envelope, signer.signing)
    return CertificateResult(found, envelope.digest, None if signer is None else signer.site)


def signer(site: OpenSite, data: bytes) -> Identity:
    """Who made a certificate: a partner pinned here, revoked or not, or this very site.

    Raises :class:`PolicyError` if it is neither.
    """
    found, _ = certificates.parse(data)
    if found.fingerprint == site.identity.fingerprint:
        return site.identity
    known = catalogue.partner_by_fingerprint(site.db, site.vault, found.fingerprint)
    if known is None:
        raise PolicyError(
            "the certificate is of a site that is not known here", hint="name its maker with --sender IDENTITY"
        )
    return Identity.parse(known.identity)


def inspect(path: Path) -> InspectResult:
    """Read a bundle's manifest. Raises :class:`VerificationError` if it is none, :class:`StorageError`."""
    with open_regular(path, "the bundle") as file:
        _, envelope = verifying.read_container(file)
        manifest = verifying.parse_manifest(envelope)
    return InspectResult(
        bundle=manifest.bundle,
        agreement=manifest.agreement_id,
        agreement_digest=manifest.agreement,
        request=manifest.request,
        sender=manifest.sender,
        recipient=manifest.recipient,
        first=manifest.window.first,
        last=manifest.window.last,
        created=manifest.created,
        normaliser=manifest.normaliser,
        key_check=manifest.key_check,
        tables=tuple(
            InspectedTable(
                table=table.name,
                columns=table.columns,
                days=len({part.day for part in table.parts}),
                parts=len(table.parts),
                rows=sum(part.rows for part in table.parts if part.rows is not None) if table.name == "reads" else None,
                bytes=sum(part.bytes for part in table.parts),
            )
            for table in manifest.tables
        ),
    )
