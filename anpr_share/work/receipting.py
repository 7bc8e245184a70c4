"""Receipts: a university's signed answers, and a force's reconciliation of them with what it exported.

Guarantees: a receipt says only what the site's records say; accepting one changes nothing but the record that it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from anpr_share.documents import envelope as dsse
from anpr_share.documents import receipt as receipts
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.envelope import Envelope
from anpr_share.documents.identity import Identity
from anpr_share.documents.model import write
from anpr_share.documents.receipt import Answered, Deleted, Loaded, Receipt, Refused
from anpr_share.errors import PolicyError
from anpr_share.files import storage_errors
from anpr_share.site import catalogue, holdings, publication, records
from anpr_share.site.files import create_private
from anpr_share.site.opened import OpenSite
from anpr_share.work import agreements, heads, partners
from anpr_share.work.reconciling import Exchanged


@dataclass(frozen=True, slots=True)
class ReceiptResult:
    """One receipt; ``discrepancies`` say in words where it disagrees with what was exported, if it was ``compared``, as
    those are that came; ``refusals`` say what was refused; ``notices`` counts those that it answers.
    """

    receipt: str
    agreement: str
    partner: str
    loaded: int
    refused: int
    deleted: int
    notices: int
    at: datetime
    discrepancies: tuple[str, ...]
    refusals: tuple[str, ...]
    compared: bool
    path: Path | None = None


def sign_receipt(
    site: OpenSite,
    agreement: Agreement,
    force: Identity,
    scope: Literal["bundle", "notice", "all"],
    *,
    loaded: Sequence[Loaded] = (),
    refused: Sequence[Refused] = (),
    deleted: Sequence[Deleted] = (),
    notices: Sequence[Answered] = (),
) -> Envelope:
    """A signed receipt to one force; writes nothing."""
    document = Receipt(
        format=1,
        agreement=agreement.digest,
        agreement_id=agreement.id,
        sender=site.identity.fingerprint,
        recipient=force.fingerprint,
        created=site.now(),
        scope=scope,
        loaded=tuple(loaded),
        refused=tuple(refused),
        deleted=tuple(deleted),
        notices=tuple(notices),
        head=heads.ours(site),
    )
    return dsse.sign(receipts.KIND, write(document), site.signing_key)


def deleted_day(item: holdings.Deletion) -> Deleted:
    """What a receipt says of a deletion."""
    return Deleted(
        bundle=item.bundle,
        table=item.tbl,  # type: ignore[arg-type]  # a table of a loaded bundle
        day=item.day,
        rows=item.rows,
        due=item.due,
        at=item.at,
        reason=item.reason,
    )


def reprint(site: OpenSite, path: Path, data: bytes, what: str = "receipt") -> None:
    """Write a recorded document once more. Raises :class:`StorageError` if another file has its place."""
    with storage_errors(f"the {what} cannot be written"):
        if path.is_file() and path.read_bytes() == data:
            return
    with publication.publishing(site.db, site.paths, [path]) as files:
        create_private(files[0].temporary, data)
        with site.transaction():
            publication.commit(site.db, files)


def create(site: OpenSite, agreement_id: str | None, to: str, out: Path) -> ReceiptResult:
    """A receipt for everything loaded, refused, deleted or applied since the last one to this force."""
    if site.identity.role != "university":
        raise PolicyError(
            "only a university makes receipts", hint="a force takes them in: anpr-share receipt accept FILE"
        )
    agreement = agreements.recorded(site, agreement_id)
    force = agreement.party(to, "police")
    if force is None:
        raise PolicyError("the force is no police party of the agreement", hint="anpr-share agreement show")
    with site.writing():
        made_before = [
            receipts.parse(made.envelope)[0] for made in holdings.receipts(site.db, direction="made", partner=to)
        ]
        reported = {item.bundle for before in made_before for item in before.loaded}
        answered = {item.notice for before in made_before for item in before.notices}
        loaded = [
            item
            for bundle in holdings.bundles(site.db, site.require_vault(), direction="loaded", agreement=agreement.id)
            if bundle.partner == to and bundle.receipt is not None and bundle.id not in reported
            for item in receipts.parse(bundle.receipt)[0].loaded
        ]
        # A bundle that named no agreement known here goes into the next receipt of any. One refused at steps 1 or 2 has
        # no proven sender, so nobody is told of it: the ledger alone has it.
        others = {item.id for item in catalogue.agreements(site.db, site.vault)} - {agreement.id}
        refusals = [item for item in holdings.unreported_refusals(site.db, to) if item.agreement not in others]
        deletions = [item for item in holdings.unreported_deletions(site.db, to) if item.agreement == agreement.id]
        document = sign_receipt(
            site,
            agreement,
            force,
            "all",
            loaded=loaded,
            refused=[
                Refused(
                    file=item.file,
                    bundle=item.bundle,
                    manifest=item.manifest,
                    at=item.at,
                    step=item.step,
                    reason=item.reason,  # type: ignore[arg-type]  # the code of an error class
                )
                for item in refusals
            ],
            deleted=[deleted_day(item) for item in deletions],
            # Once more, like what the receipt of a load said: that of the notice may not have arrived.
            notices=[
                Answered(notice=item.digest, at=item.at)
                for item in holdings.notices(site.db, site.vault, partner=to, agreement=agreement.id)
                if item.digest not in answered
            ],
        )
        with publication.publishing(site.db, site.paths, [out]) as files:
            create_private(files[0].temporary, document.encode())
            with site.transaction():
                now = site.now()
                records.add(
                    site.db,
                    holdings.KnownReceipt(document.digest, "made", to, agreement.id, document.encode(), now),
                )
                holdings.mark_reported(site.db, [*refusals, *deletions], document.digest)
                site.record("receipt-made", agreement.id, {"receipt": document.digest, "recipient": to})
                publication.commit(site.db, files)
        site.checkpoint()
    made = receipts.parse(document.encode())[0]
    return _result(agreement.id, to, made, document.digest, now, None, files[0].final)


def accept(site: OpenSite, data: bytes) -> ReceiptResult:
    """Record a receipt and reconcile it with what was exported. Raises :class:`PolicyError` for a foreign one."""
    if site.identity.role != "police":
        raise PolicyError("only a force accepts receipts", hint="a university makes them: anpr-share receipt create")
    receipt, envelope = receipts.parse(data)
    sender = partners.require_pinned(site, receipt.sender)
    dsse.verify(envelope, sender.signing)
    if receipt.recipient != site.identity.fingerprint:
        raise PolicyError("the receipt is for another force", hint="hand it to the force that it is for")
    partners.require_past(receipt.created, site.now(), "the receipt")
    agreement = agreements.recorded(site, receipt.agreement_id)
    party = partners.require_party(agreement, receipt.sender, "university", "the receipt")
    agreements.require_accepted(site, receipt.agreement, agreement.id, "the receipt")
    discrepancies = Exchanged.recorded(site, party.site, agreement.id).faults(receipt)
    with site.writing():
        if records.one(site.db, holdings.KnownReceipt, None, "digest = ?", envelope.digest) is None:
            with site.transaction():
                records.add(
                    site.db,
                    holdings.KnownReceipt(envelope.digest, "received", party.site, agreement.id, data, site.now()),
                )
                _mark_answered(site, receipt, party.site, data)
                heads.keep(site, party.site, envelope.digest, receipt.head)
                site.record(
                    "receipt-accepted",
                    agreement.id,
                    {
                        "discrepancies": len(discrepancies),
                        "loaded": len(receipt.loaded),
                        "notices": len(receipt.notices),
                        "receipt": envelope.digest,
                        "sender": party.site,
                    },
                )
        site.checkpoint()
    return _result(agreement.id, party.site, receipt, envelope.digest, receipt.created, discrepancies)


def _mark_answered(site: OpenSite, receipt: Receipt, partner: str, data: bytes) -> None:
    vault = site.require_vault()
    for item in receipt.notices:
        where = "digest = ? AND partner = ? AND receipt IS NULL"
        known = records.one(site.db, holdings.KnownNotice, vault, where, item.notice, partner)
        if known is not None:
            records.put(site.db, replace(known, receipt=data), vault)


def listed(site: OpenSite) -> tuple[ReceiptResult, ...]:
    """All receipts that this site made, those of loads and of notices first, or received, reconciled anew."""
    found = []
    answers: list[holdings.Bundle | holdings.KnownNotice] = [
        *holdings.bundles(site.db, site.vault, direction="loaded"),
        *(item for item in holdings.notices(site.db, site.vault) if item.direction == "received"),
    ]
    for answer in answers:
        if answer.receipt is not None:
            receipt, envelope = receipts.parse(answer.receipt)
            found.append(_result(answer.agreement, answer.partner, receipt, envelope.digest, answer.at))
    exchanged: dict[tuple[str, str], Exchanged] = {}
    for item in holdings.receipts(site.db):
        receipt, _ = receipts.parse(item.envelope)
        faults = None
        if item.direction == "received":
            place = (item.partner, item.agreement)
            if place not in exchanged:
                exchanged[place] = Exchanged.recorded(site, *place)
            faults = exchanged[place].faults(receipt)
        found.append(_result(item.agreement, item.partner, receipt, item.digest, item.at, faults))
    return tuple(found)


def _result(
    agreement: str,
    partner: str,
    receipt: Receipt,
    digest: str,
    at: datetime,
    discrepancies: tuple[str, ...] | None = None,
    path: Path | None = None,
) -> ReceiptResult:
    """``discrepancies`` is None for a receipt that was made here."""
    return ReceiptResult(
        digest,
        agreement,
        partner,
        len(receipt.loaded),
        len(receipt.refused),
        len(receipt.deleted),
        len(receipt.notices),
        at,
        discrepancies or (),
        tuple(_refusal(item) for item in receipt.refused),
        compared=discrepancies is not None,
        path=path,
    )


def _refusal(item: Refused) -> str:
    what = f"bundle {item.bundle}" if item.bundle is not None else f"a file with the SHA-256 {item.file}"
    step = "" if item.step is None else f" at step {item.step} of 8"
    return f"{what} on {item.at:%Y-%m-%d}{step} ({item.reason})"
