"""Notices: a force takes back days that it found wrong, and the university destroys them and says so.

Guarantees: a notice names only days that were exported to that university; applying one destroys what its own sender
had sent before it, and nothing else; the keys, the records, the ledger's lines and the receipt are one transaction; one
that was applied is never applied again, so a replay destroys no corrected data; what it recalls of a bundle that comes
later, and was made before, is not loaded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from anpr_share.documents import envelope as dsse
from anpr_share.documents import notice as notices
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.envelope import Envelope
from anpr_share.documents.identity import Identity
from anpr_share.documents.keys import seal
from anpr_share.documents.manifest import Manifest, TableName
from anpr_share.documents.model import build, write
from anpr_share.documents.notice import Notice, NoticeContent, Recall
from anpr_share.documents.receipt import Answered
from anpr_share.errors import PolicyError, StorageError, UsageError
from anpr_share.periods import UNDATED
from anpr_share.site import holdings, publication, records
from anpr_share.site.files import create_private
from anpr_share.site.holdings import KeyPlace
from anpr_share.site.opened import OpenSite
from anpr_share.site.purpose import check_purpose
from anpr_share.work import agreements, heads, partners, receipting
from anpr_share.work.erasing import erase, remove_erased
from anpr_share.work.purging import days_of
from anpr_share.work.reconciling import sent_rows


@dataclass(frozen=True, slots=True)
class NoticeResult:
    """A notice that was written."""

    notice: str
    agreement: str
    recipient: str
    table: str
    days: tuple[str, ...]
    path: Path


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """A notice that was applied, now or (``again``) before. ``destroyed`` are those of its ``days`` that were held."""

    notice: str
    agreement: str
    sender: str
    table: str
    days: tuple[str, ...]
    reason: str
    destroyed: tuple[str, ...]
    rows: int
    again: bool
    receipt: Path


def recall(
    site: OpenSite,
    agreement_id: str,
    to: str,
    table: TableName,
    days: Sequence[str],
    reason: str,
    out: Path,
) -> NoticeResult:
    """Tell a university to destroy days of a table that were found wrong; the agreement need not be in force any more.

    Raises :class:`PolicyError` if the agreement or the partner forbids it, or a day was never exported to it.
    """
    content = NoticeContent(format=1, recall=_recall(table, days, reason), erase=None)
    agreement = agreements.recorded(site, agreement_id)
    if agreement.identity(site.identity.fingerprint, "police") is None:
        raise PolicyError(
            "only a force that is party to the agreement recalls data",
            hint="a university applies what it is sent: anpr-share notice apply FILE",
        )
    university = agreement.party(to, "university")
    if university is None:
        raise PolicyError("the recipient is no university of the agreement", hint="anpr-share agreement show")
    partners.require_pinned(site, university.fingerprint, who="the university")
    _require_exported(site, agreement, to, content.recall)
    with site.writing():
        made = _sign(site, agreement, university, content)
        with publication.publishing(site.db, site.paths, [out]) as files:
            create_private(files[0].temporary, made.encode())
            with site.transaction():
                known = holdings.KnownNotice(
                    made.digest, "made", to, agreement.id, made.encode(), write(content), site.now()
                )
                records.add(site.db, known, site.require_vault())
                site.record(
                    "notice-made",
                    agreement.id,
                    {
                        "days": content.recall.days,
                        "notice": made.digest,
                        "reason": content.recall.reason,
                        "recipient": to,
                        "table": table,
                    },
                )
                publication.commit(site.db, files)
        site.checkpoint()
    return NoticeResult(made.digest, agreement.id, to, table, content.recall.days, files[0].final)


def _recall(table: str, days: Sequence[str], reason: str) -> Recall:
    if any((day != UNDATED) != (table == "reads") for day in days):
        raise UsageError(
            "reads are recalled by their days, and targets and cameras, which have none, as a whole",
            hint=f"--table reads --day 2026-10-01, or --table targets --day {UNDATED}",
        )
    said = check_purpose(reason, "reason")
    return build(Recall, "notice", {"table": table, "days": tuple(sorted(set(days))), "reason": said})


def _require_exported(site: OpenSite, agreement: Agreement, to: str, recalled: Recall) -> None:
    sent = {
        place
        for bundle in holdings.bundles(site.db, site.require_vault(), direction="exported", agreement=agreement.id)
        if bundle.partner == to
        for place, rows in sent_rows(bundle).items()
        if rows
    }
    if never := [day for day in recalled.days if (recalled.table, day) not in sent]:
        others = f" and {len(never) - 1} more of these days" if len(never) > 1 else ""
        raise PolicyError(
            f"{recalled.table} of {never[0]}{others} were never exported to {to}",
            hint="anpr-share ledger show has each disclosure with its days and its recipient",
        )


def _sign(site: OpenSite, agreement: Agreement, university: Identity, content: NoticeContent) -> Envelope:
    info = notices.info(site.identity.fingerprint, university.fingerprint, agreement.digest)
    document = Notice(
        format=1,
        agreement=agreement.digest,
        agreement_id=agreement.id,
        sender=site.identity.fingerprint,
        recipient=university.fingerprint,
        created=site.now(),
        sealed=dsse.to_base64(seal(university.encryption, info, write(content))),
        head=heads.ours(site),
    )
    return dsse.sign(notices.KIND, write(document), site.signing_key)


def apply(site: OpenSite, data: bytes, out: Path | None) -> ApplyResult:
    """Destroy what a notice recalls, and answer with a receipt; of one that was applied, write its receipt again.

    Raises :class:`FormatError` and :class:`VerificationError` for a bad document, signature or seal, and
    :class:`PolicyError` if it is not for this site or not from a force that may recall.
    """
    if site.identity.role != "university":
        raise PolicyError("only a university applies notices", hint="a force makes them: anpr-share notice recall")
    notice, envelope = notices.parse(data)
    sender = partners.require_pinned(site, notice.sender)
    dsse.verify(envelope, sender.signing)
    with site.writing():
        agreement = _require_standing(site, notice)
        known = records.one(site.db, holdings.KnownNotice, site.require_vault(), "digest = ?", envelope.digest)
        result = (
            _destroy(site, notice, envelope, sender, agreement, out)
            if known is None
            else _reprint(site, known, out or _outbox(site, envelope.digest))
        )
        remove_erased(site)
        site.checkpoint()
        return result


def _require_standing(site: OpenSite, notice: Notice) -> Agreement:
    """The agreement in force here, if the notice's sender may recall data under it from this site."""
    if notice.recipient != site.identity.fingerprint:
        raise PolicyError("the notice is for another university", hint="hand it to the one that it is for")
    agreements.require_accepted(site, notice.agreement, notice.agreement_id, "the notice")
    agreement = agreements.recorded(site, notice.agreement_id)
    partners.require_party(agreement, notice.sender, "police", "the notice")
    partners.require_past(notice.created, site.now(), "the notice")
    return agreement


def _destroy(
    site: OpenSite, notice: Notice, envelope: Envelope, sender: Identity, agreement: Agreement, out: Path | None
) -> ApplyResult:
    info = notices.info(notice.sender, notice.recipient, notice.agreement)
    sealed = site.opening_key.open(dsse.from_base64(notice.sealed), info)
    recalled = notices.parse_content(sealed).recall
    now, vault = site.now(), site.require_vault()
    held = _held(site, agreement, sender.site, notice, recalled, now)
    with publication.publishing(site.db, site.paths, [out or _outbox(site, envelope.digest)]) as files:
        document = receipting.sign_receipt(
            site,
            agreement,
            sender,
            "notice",
            deleted=[
                receipting.deleted_day(item)
                for item in (*_gone(site, agreement, sender.site, recalled, held), *held.values())
            ],
            notices=[Answered(notice=envelope.digest, at=now)],
        )
        create_private(files[0].temporary, document.encode())
        with site.transaction():
            _erase(site, agreement, held, recalled.table, envelope.digest)
            if recalled.table == "reads":
                holdings.forget_coverage(site.db, agreement.id, sender.site, {item.day for item in held.values()})
            known = holdings.KnownNotice(
                envelope.digest,
                "received",
                sender.site,
                agreement.id,
                envelope.encode(),
                sealed,
                now,
                document.encode(),
            )
            records.add(site.db, known, vault)
            heads.keep(site, sender.site, envelope.digest, notice.head)
            site.record(
                "notice-applied",
                agreement.id,
                {
                    "days": len(held),
                    "notice": envelope.digest,
                    "receipt": document.digest,
                    "sender": sender.site,
                    "table": recalled.table,
                },
            )
            publication.commit(site.db, files)
    return ApplyResult(
        envelope.digest,
        agreement.id,
        sender.site,
        recalled.table,
        recalled.days,
        recalled.reason,
        tuple(sorted({item.day for item in held.values()})),
        sum(item.rows for item in held.values()),
        again=False,
        receipt=files[0].final,
    )


def _erase(
    site: OpenSite, agreement: Agreement, held: Mapping[KeyPlace, holdings.Deletion], table: str, digest: str
) -> None:
    """Destroy what is held and log it, a line for each bundle, inside the caller's transaction."""
    together: defaultdict[str, list[holdings.Deletion]] = defaultdict(list)
    for place, item in held.items():
        erase(site, place, item.partner, item.rows, item.reason, due=item.due, now=item.at)
        together[item.bundle].append(item)
    for bundle, items in together.items():
        site.record(
            "erasure",
            bundle,
            {
                "agreement": agreement.digest,
                "days": tuple(sorted(item.day for item in items)),
                "notice": digest,
                "reason": "recalled",
                "rows": sum(item.rows for item in items),
                "table": table,
            },
        )


def _held(
    site: OpenSite, agreement: Agreement, source: str, notice: Notice, recalled: Recall, now: datetime
) -> dict[KeyPlace, holdings.Deletion]:
    """What is held of the recalled days in bundles that the force had made by then: a later one is the correction."""
    bundles = {
        item.id
        for item in holdings.bundles(site.db, site.require_vault(), direction="loaded", agreement=agreement.id)
        if item.partner == source and item.created <= notice.created
    }
    places = [
        place
        for place in holdings.key_places(site.db)
        if (place.agreement, place.tbl) == (agreement.id, recalled.table)
        and place.day in recalled.days
        and place.bundle in bundles
    ]
    return {
        place: holdings.Deletion(
            place.bundle, place.tbl, place.day, agreement.id, source, item.rows, item.due, now, "recalled"
        )
        for place, item in days_of(site, {agreement.id: agreement}, places)
    }


def _gone(
    site: OpenSite, agreement: Agreement, source: str, recalled: Recall, held: Container[KeyPlace]
) -> list[holdings.Deletion]:
    """What had been destroyed of the recalled days already, which the force may not have been told yet."""
    where = "agreement = ? AND partner = ? AND tbl = ?"
    found = records.find(site.db, holdings.Deletion, None, where, agreement.id, source, recalled.table)
    return [
        item
        for item in found
        if item.day in recalled.days and KeyPlace(item.agreement, item.tbl, item.day, item.bundle) not in held
    ]


def _reprint(site: OpenSite, known: holdings.KnownNotice, path: Path) -> ApplyResult:
    if known.receipt is None:
        raise StorageError("the receipt of this notice is not recorded here", hint="restore site.db from a backup")
    receipting.reprint(site, path, known.receipt)
    recalled = notices.parse_content(known.content).recall
    return ApplyResult(
        known.digest,
        known.agreement,
        known.partner,
        recalled.table,
        recalled.days,
        recalled.reason,
        (),
        0,
        again=True,
        receipt=path,
    )


def _outbox(site: OpenSite, digest: str) -> Path:
    return site.paths.outbox / f"{digest[:16]}.receipt.json"


def recalled_since(site: OpenSite, manifest: Manifest, sender: str) -> frozenset[tuple[str, str]]:
    """The tables and days that a force had recalled, by what was applied here, after it made a bundle."""
    found: set[tuple[str, str]] = set()
    for known in holdings.notices(site.db, site.require_vault(), partner=sender, agreement=manifest.agreement_id):
        notice, _ = notices.parse(known.envelope)
        if (manifest.created, manifest.head.seq) < (notice.created, notice.head.seq):
            recalled = notices.parse_content(known.content).recall
            found |= {(recalled.table, day) for day in recalled.days}
    return frozenset(found)
