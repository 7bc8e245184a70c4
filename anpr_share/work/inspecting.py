"""What a bundle says of itself, to anyone who holds the file; nothing of it is proved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from anpr_share.files import open_regular
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
