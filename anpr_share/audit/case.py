"""One site's evidence, made ready for the checks: its ledger read, its documents parsed, its agreements by version.

Guarantees: nothing is taken from a document whose digest is not the recorded one, or that does not parse; what does not
is told as a finding, and the checks go on without it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import TypeVar

from anpr_share.audit import ledger
from anpr_share.audit.evidence import Evidence
from anpr_share.audit.findings import Finding, finding
from anpr_share.audit.ledger import Book
from anpr_share.documents import agreement as agreements
from anpr_share.documents import envelope as dsse
from anpr_share.documents import manifest as manifests
from anpr_share.documents import receipt as receipts
from anpr_share.documents import request as requests
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.envelope import Envelope
from anpr_share.documents.manifest import Manifest, Quality
from anpr_share.documents.model import validate
from anpr_share.documents.receipt import Receipt
from anpr_share.documents.request import Request
from anpr_share.errors import VerificationError
from anpr_share.site import holdings
from anpr_share.site.ledger import Entry

T = TypeVar("T")
_DIGEST = 64
"""Hexadecimal digits of one; a bundle's id has fewer."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an agreement at a site, from when it was accepted there until it was closed."""

    agreement: Agreement
    accepted: datetime
    closed: datetime | None


@dataclass(frozen=True, slots=True)
class Case:
    """What the checks work on. Documents are by the digest of their payload; ``now`` is the site's own clock.

    ``load_receipts`` are the receipts that bundles were loaded with, by bundle; ``erasures`` the line that says of a
    bundle's table and day that it was destroyed, the last such.
    """

    evidence: Evidence
    book: Book
    versions: dict[str, tuple[Version, ...]]
    by_digest: dict[str, Agreement]
    requests: dict[str, Request]
    manifests: dict[str, tuple[Manifest, Envelope]]
    receipts: dict[str, Receipt]
    load_receipts: dict[str, Receipt]
    quality: dict[str, Quality]
    erasures: dict[tuple[str, str, str], Entry]
    findings: tuple[Finding, ...]

    @property
    def site(self) -> str:
        """The site's id."""
        return self.evidence.identity.site

    @property
    def now(self) -> datetime:
        """When the evidence was taken, by the site's clock."""
        return self.evidence.at

    def deadline(self, agreement: str, table: str, day: date) -> datetime | None:
        """By when a day had to be gone under all versions accepted here: of each, not before it was accepted."""
        return min(
            (max(item.agreement.delete_by(table, day), item.accepted) for item in self.versions.get(agreement, ())),
            default=None,
        )

    def in_force(self, agreement: str) -> Agreement | None:
        """The version that was accepted last."""
        found = self.versions.get(agreement)
        return found[-1].agreement if found else None

    def closed(self, agreement: str) -> datetime | None:
        """When an agreement was closed here."""
        return next((item.closed for item in self.versions.get(agreement, ()) if item.closed is not None), None)

    def counted_day(self, bundle: holdings.Bundle, day: str) -> date | None:
        """The day that retention counts from; None if that is no day, or the agreement is unknown."""
        agreement = self.in_force(bundle.agreement)
        try:
            return None if agreement is None else agreement.counted_day(day, bundle.created, bundle.at)
        except VerificationError:
            return None


def case(evidence: Evidence) -> Case:
    """Make one site's evidence ready."""
    reader = _Reader(evidence.identity.site)
    agreed = reader.documents("agreement", ((item.digest, item.envelope) for item in evidence.agreements), _agreement)
    versions: defaultdict[str, list[Version]] = defaultdict(list)
    for known in sorted(evidence.agreements, key=lambda item: (item.id, item.version)):
        if known.digest in agreed:
            agreement, _ = agreed[known.digest]
            versions[known.id].append(Version(agreement, known.accepted_at, known.closed_at))
    asked = reader.documents("request", ((item.digest, item.envelope) for item in evidence.requests), requests.parse)
    signed = reader.documents("manifest", ((item.digest, item.envelope) for item in evidence.manifests), _manifest)
    by_digest = {digest: found for digest, (found, _) in agreed.items()}
    signed_by_party = partial(_receipt, by_digest)
    told = reader.documents("receipt", ((item.digest, item.envelope) for item in evidence.receipts), signed_by_party)
    loads = reader.documents(
        "receipt", ((item.id, item.receipt) for item in evidence.bundles if item.receipt is not None), signed_by_party
    )
    book = ledger.read(evidence)
    return Case(
        evidence,
        book,
        {name: tuple(found) for name, found in versions.items()},
        by_digest,
        {digest: found for digest, (found, _) in asked.items()},
        signed,
        {digest: found for digest, (found, _) in told.items()},
        {bundle: found for bundle, (found, _) in loads.items()},
        dict(reader.qualities(evidence.bundles)),
        dict(_erased(book)),
        tuple(reader.findings),
    )


def _agreement(data: bytes) -> tuple[Agreement, Envelope]:
    found = agreements.parse(data)
    agreements.require_signed(found)
    return found, found.envelope


def _manifest(data: bytes) -> tuple[Manifest, Envelope]:
    envelope = dsse.parse(data, manifests.KIND)
    return manifests.from_envelope(envelope), envelope


def _receipt(agreed: Mapping[str, Agreement], data: bytes) -> tuple[Receipt, Envelope]:
    """A receipt that a party of its agreement signed: anybody can write a row without a MAC."""
    found, envelope = receipts.parse(data)
    agreement = agreed.get(found.agreement)
    sender = None if agreement is None else agreement.identity(found.sender)
    if sender is None:
        raise VerificationError("it comes from no party of an agreement that was accepted here")
    dsse.verify(envelope, sender.signing)
    return found, envelope


class _Reader:
    """Parses recorded documents, and remembers what did not hold."""

    def __init__(self, site: str) -> None:
        self._site = site
        self.findings: list[Finding] = []

    def documents(
        self, what: str, known: Iterable[tuple[str, bytes]], parse: Callable[[bytes], tuple[T, Envelope]]
    ) -> dict[str, tuple[T, Envelope]]:
        """Those that parse, by their recorded names, which are digests unless a bundle's id."""
        found: dict[str, tuple[T, Envelope]] = {}
        for name, data in known:
            try:
                document, envelope = parse(data)
            except VerificationError as error:
                self._altered(f"the record of a {what} does not hold: {error.message}")
                continue
            if len(name) == _DIGEST and envelope.digest != name:
                self._altered(f"the record of a {what} names another document than it holds")
                continue
            found[name] = document, envelope
        return found

    def qualities(self, bundles: Iterable[holdings.Bundle]) -> Iterator[tuple[str, Quality]]:
        for item in bundles:
            try:
                yield item.id, validate(Quality, item.quality or b"", "quality record")
            except VerificationError as error:
                self._altered(f"the record of bundle {item.id} does not hold: {error.message}")

    def _altered(self, text: str) -> None:
        self.findings.append(finding("record-altered", self._site, text))


def _erased(book: Book) -> Iterator[tuple[tuple[str, str, str], Entry]]:
    for entry in book.about("erasure"):
        table, days = entry.details.get("table"), entry.details.get("days")
        if isinstance(table, str) and isinstance(days, list):
            for day in days:
                yield (entry.subject, table, str(day)), entry
