"""The heads of ledgers that documents carry: ours, said to partners, and theirs, kept as witnesses.

Guarantees: what is kept of a partner's ledger is what its own signed document said, and is never changed again.
"""

from __future__ import annotations

from anpr_share.documents.model import LedgerHead
from anpr_share.site import holdings, records
from anpr_share.site.opened import OpenSite


def ours(site: OpenSite) -> LedgerHead:
    """Where this site's ledger stands now, as a document that it is about to sign says it."""
    head = site.ledger.head()
    return LedgerHead(seq=head.seq, hash=head.hash)


def keep(site: OpenSite, partner: str, document: str, head: LedgerHead) -> None:
    """Keep where a partner's ledger stood, inside the caller's transaction; a document seen before changes nothing."""
    vault, place = site.require_vault(), (partner, document)
    if records.one(site.db, holdings.Witness, vault, "partner = ? AND document = ?", *place) is None:
        records.add(site.db, holdings.Witness(*place, head.seq, head.hash, site.now()), vault)
