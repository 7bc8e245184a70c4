"""Putting the clock back: how a site is recovered whose clock was wrong, so that its ledger's times lie in the future.

Guarantees: time goes back only by a signed line of the ledger that says so and why; never behind what a partner signed
and this site holds, nor behind an earlier such line; and nothing is destroyed, nor does anything come back that was.

Whoever has the passphrase could else put the clock back a year, to see what has expired. What partners signed is the
one witness of time that they cannot make.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from anpr_share.documents import receipt as receipts
from anpr_share.documents import request as requests
from anpr_share.errors import PolicyError
from anpr_share.periods import CLOCK_BACK_TOLERANCE, CREATED_TOLERANCE, utc_text
from anpr_share.site import catalogue, holdings
from anpr_share.site.ledger import CLOCK_RESET
from anpr_share.site.opened import OpenSite
from anpr_share.site.purpose import check_purpose


@dataclass(frozen=True, slots=True)
class ResetResult:
    """From which time of the ledger to which the clock was put back.

    ``ahead`` counts the requests and bundles of this site that say they were made later, which partners refuse.
    """

    before: datetime
    now: datetime
    ahead: int


def reset(site: OpenSite, reason: str) -> ResetResult:
    """Go by the system clock, though it is behind the ledger.

    Raises :class:`PolicyError` if it is not, or if it is behind what a partner signed or an earlier reset.
    """
    text = check_purpose(reason, "reason")
    site.require_vault()
    with site.writing():
        now, before = site.system_time(), site.ledger.latest_time()
        if before is None or before - now <= CLOCK_BACK_TOLERANCE:
            leapt = site.reading().leapt
            raise PolicyError(
                "the system clock is not behind the ledger: there is nothing to reset",
                hint=f"if it really is {now.date()}: anpr-share purge --confirm-date {now.date()}"
                if leapt
                else "if this machine's clock is wrong, set it right first",
            )
        _require_possible(site, now)
        site.reset_clock({"from": utc_text(before), "reason": text})
    return ResetResult(before, now, sum(created > now + CREATED_TOLERANCE for created in _made_here(site)))


def _require_possible(site: OpenSite, now: datetime) -> None:
    """Raise :class:`PolicyError` for a time that the site has demonstrably left behind."""
    created, partner = max(_signed_by_partners(site), default=(now, ""))
    if now < created - CREATED_TOLERANCE:
        raise PolicyError(
            f"this site holds a document that {partner} signed at {utc_text(created)}: the clock is not put back "
            "behind that",
            hint="set this machine's clock right; if it is right, that partner's was wrong: then this waits until then",
        )
    earlier = max((entry.time for entry in site.ledger.about(CLOCK_RESET)), default=now)
    if now < earlier:
        raise PolicyError(
            f"the clock was reset at {utc_text(earlier)} before, and is not put back behind that",
            hint="set this machine's clock right; if it is right, this waits until then",
        )


def _signed_by_partners(site: OpenSite) -> Iterator[tuple[datetime, str]]:
    """When partners say that they made what this site has taken from them, and who."""
    vault = site.require_vault()
    for bundle in holdings.bundles(site.db, vault, direction="loaded"):
        yield bundle.created, bundle.partner
    for known in catalogue.requests(site.db, vault):
        if known.direction == "received":
            yield requests.parse(known.envelope)[0].created, known.partner
    # Records of receipts carry no MAC; the head that came with each one does.
    taken = {item.document for item in holdings.witnesses(site.db, vault)}
    for item in holdings.receipts(site.db, direction="received"):
        receipt, envelope = receipts.parse(item.envelope)
        if envelope.digest in taken:
            yield receipt.created, item.partner


def _made_here(site: OpenSite) -> Iterator[datetime]:
    """When this site said that it made its requests and bundles."""
    vault = site.require_vault()
    for known in catalogue.requests(site.db, vault):
        if known.direction == "made":
            yield known.created
    for bundle in holdings.bundles(site.db, vault, direction="exported"):
        yield bundle.created
