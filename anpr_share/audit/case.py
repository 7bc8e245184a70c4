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
from anpr_share.documents import certificate as certificates
from anpr_share.documents import envelope as dsse
from anpr_share.documents import manifest as manifests
from anpr_share.documents import notice as notices
from anpr_share.documents import receipt as receipts
from anpr_share.documents import request as requests
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.envelope import Envelope
from anpr_share.documents.identity import Identity
from anpr_share.documents.manifest import Manifest, Quality
from anpr_share.documents.model import Addressed, Role, validate
from anpr_share.documents.receipt import Receipt
from anpr_share.documents.request import Request
from anpr_share.errors import VerificationError
from anpr_share.site import holdings
from anpr_share.site.catalogue import Partner
from anpr_share.site.ledger import Entry

T = TypeVar("T")
D = TypeVar("D", bound=Addressed)


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
        """By when a day had to be gone under all versions accepted here; None if there are none."""
        versions = [(item.agreement, item.accepted) for item in self.versions.get(agreement, ())]
        return agreements.deadline(versions, table, day) if versions else None

    def in_force(self, agreement: str) -> Agreement | None:
        """The version that was accepted last."""
        found = self.versions.get(agreement)
        return found[-1].agreement if found else None

    def closed(self, agreement: str) -> datetime | None:
        """When an agreement was closed here."""
        return next((item.closed for item in self.versions.get(agreement, ()) if item.closed is not None), None)

    def due(self, bundle: holdings.Bundle, table: str, day: str) -> datetime | None:
        """By when a day of a bundle had to be gone; None if that is no day, or the agreement is unknown."""
        agreement = self.in_force(bundle.agreement)
        try:
            counted = None if agreement is None else agreement.counted_day(day, bundle.created, bundle.at)
        except VerificationError:
            return None
        return None if counted is None else self.deadline(bundle.agreement, table, counted)


def case(evidence: Evidence) -> Case:
    """Make one site's evidence ready."""
    reader = _Reader(evidence.identity.site)
    agreed = reader.documents("agreement", ((item.digest, item.envelope) for item in evidence.agreements), _agreement)
    versions: defaultdict[str, list[Version]] = defaultdict(list)
    for known in sorted(evidence.agreements, key=lambda item: (item.id, item.version)):
        if known.digest not in agreed:
            continue
        agreement, _ = agreed[known.digest]
        if (agreement.id, agreement.terms.version) != (known.id, known.version):
            reader.altered("the record of an agreement names another version than it holds")
        else:
            versions[known.id].append(Version(agreement, known.accepted_at, known.closed_at))
    request = partial(_signed_by, "university", agreed, requests.parse)
    asked = reader.documents("request", ((item.digest, item.envelope) for item in evidence.requests), request)
    signed = reader.documents("manifest", ((item.digest, item.envelope) for item in evidence.manifests), _manifest)
    receipt = partial(_signed_by, "university", agreed, receipts.parse)
    told = reader.documents("receipt", ((item.digest, item.envelope) for item in evidence.receipts), receipt)
    loaded = [item for item in evidence.bundles if item.direction == "loaded"]
    loads = reader.documents("receipt", ((item.id, item.receipt or b"") for item in loaded), receipt, digests=False)
    notice = partial(_signed_by, "police", agreed, notices.parse)
    reader.documents("notice", ((item.digest, item.envelope) for item in evidence.notices), notice)
    reader.partners(evidence.partners)
    book = ledger.read(evidence)
    reader.closings(evidence, book)
    return Case(
        evidence,
        book,
        {name: tuple(found) for name, found in versions.items()},
        {digest: found for digest, (found, _) in agreed.items()},
        {digest: found for digest, (found, _) in asked.items()},
        signed,
        {digest: found for digest, (found, _) in told.items()},
        reader.own({bundle: found for bundle, (found, _) in loads.items()}, loaded, evidence.identity.fingerprint),
        dict(reader.qualities(evidence.bundles)),
        dict(_erased(book)),
        tuple(reader.findings),
    )


def _agreement(data: bytes) -> tuple[Agreement, Envelope]:
    found = agreements.parse(data)
    agreements.require_signed(found)
    return found, found.envelope


def _signed_by(
    role: Role,
    agreed: Mapping[str, tuple[Agreement, Envelope]],
    parse: Callable[[bytes], tuple[D, Envelope]],
    data: bytes,
) -> tuple[D, Envelope]:
    """What ``parse`` finds, if the party of this role signed it that it gives as its sender."""
    document, envelope = parse(data)
    known = agreed.get(document.agreement)
    sender = None if known is None else known[0].identity(document.sender, role)
    if sender is None:
        raise VerificationError(f"its sender is no {role} party of an agreement that was accepted here")
    dsse.verify(envelope, sender.signing)
    return document, envelope


def _manifest(data: bytes) -> tuple[Manifest, Envelope]:
    envelope = dsse.parse(data, manifests.KIND)
    return manifests.from_envelope(envelope), envelope


class _Reader:
    """Parses recorded documents, and remembers what did not hold."""

    def __init__(self, site: str) -> None:
        self._site = site
        self.findings: list[Finding] = []

    def documents(
        self,
        what: str,
        known: Iterable[tuple[str, bytes]],
        parse: Callable[[bytes], tuple[T, Envelope]],
        *,
        digests: bool = True,
    ) -> dict[str, tuple[T, Envelope]]:
        """Those that parse, by their recorded names, which are their ``digests`` or else a bundle's id."""
        found: dict[str, tuple[T, Envelope]] = {}
        for name, data in known:
            try:
                document, envelope = parse(data)
            except VerificationError as error:
                self.altered(f"the record of a {what} does not hold: {error.message}")
                continue
            if digests and envelope.digest != name:
                self.altered(f"the record of a {what} names another document than it holds")
                continue
            found[name] = document, envelope
        return found

    def own(
        self, found: Mapping[str, Receipt], bundles: Iterable[holdings.Bundle], fingerprint: str
    ) -> dict[str, Receipt]:
        """The receipts of loaded bundles, by bundle: of this site, and of that bundle alone."""
        fitting: dict[str, Receipt] = {}
        for item in bundles:
            receipt = found.get(item.id)
            if receipt is None:
                continue  # told of already
            told = [(receipt.agreement_id, loaded.bundle, loaded.manifest) for loaded in receipt.loaded]
            if receipt.sender == fingerprint and told == [(item.agreement, item.id, item.manifest)]:
                fitting[item.id] = receipt
            else:
                self.altered(f"the receipt of bundle {item.id} is another site's, or of another bundle")
        return fitting

    def partners(self, known: Iterable[Partner]) -> None:
        """Tell of partners whose identity is not the one that was pinned."""
        for item in known:
            try:
                identity = Identity.parse(item.identity)
            except VerificationError as error:
                self.altered(f"the record of partner {item.id} does not hold: {error.message}")
                continue
            if (identity.site, identity.fingerprint) != (item.id, item.fingerprint):
                self.altered(f"the record of partner {item.id} names another identity than it holds")

    def closings(self, evidence: Evidence, book: Book) -> None:
        """Tell of agreements that were closed otherwise than their certificates and the ledger say."""
        logged = {entry.details.get("certificate") for entry in book.about("agreement-closed")}
        certified: dict[str, datetime] = {}
        for item in evidence.certificates:
            try:
                found, envelope = certificates.parse(item.envelope)
                dsse.verify(envelope, evidence.identity.signing)
            except VerificationError as error:
                self.altered(f"the certificate of {item.agreement} does not hold: {error.message}")
                continue
            if envelope.digest not in logged:
                self.altered(f"no line of the ledger tells of the certificate of {item.agreement}")
            certified[found.agreement_id] = found.created
        recorded = {item.id: item.closed_at for item in evidence.agreements if item.closed_at is not None}
        for name in sorted(certified.keys() | recorded.keys()):
            if certified.get(name) != recorded.get(name):
                self.altered(f"{name} is recorded as closed otherwise than its certificate says")

    def qualities(self, bundles: Iterable[holdings.Bundle]) -> Iterator[tuple[str, Quality]]:
        for item in bundles:
            try:
                yield item.id, validate(Quality, item.quality or b"", "quality record")
            except VerificationError as error:
                self.altered(f"the record of bundle {item.id} does not hold: {error.message}")

    def altered(self, text: str) -> None:
        """Tell of a record that does not hold."""
        self.findings.append(finding("record-altered", self._site, text))


def _erased(book: Book) -> Iterator[tuple[tuple[str, str, str], Entry]]:
    for entry in book.about("erasure"):
        table, days = entry.details.get("table"), entry.details.get("days")
        if isinstance(table, str) and isinstance(days, list):
            for day in days:
                yield (entry.subject, table, str(day)), entry
