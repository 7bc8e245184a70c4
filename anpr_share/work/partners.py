"""Partners: pinning another site's identity, and taking trust away.

Guarantees: nobody is trusted whose fingerprint a person has not confirmed, a new identity of a known partner included;
what another command recorded of a partner while the person was asked is not undone by the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from anpr_share.documents.agreement import Agreement
from anpr_share.documents.identity import Identity, spoken, unspoken
from anpr_share.documents.model import Role
from anpr_share.errors import PolicyError, UsageError
from anpr_share.periods import CREATED_TOLERANCE
from anpr_share.site import catalogue
from anpr_share.site.opened import OpenSite

Confirm = Callable[[str], bool]
"""Shows a text to a person and asks for a yes."""


@dataclass(frozen=True, slots=True)
class PartnerResult:
    """One partner as the site knows it."""

    id: str
    name: str
    role: str
    fingerprint: str
    status: str
    pinned_at: datetime


def pin(site: OpenSite, identity: Identity, fingerprint: str | None, confirm: Confirm) -> PartnerResult:
    """Pin an identity. ``fingerprint`` is what was heard over another channel; without it a person is asked.

    Raises :class:`PolicyError` if the fingerprint differs, nobody confirms, or the id is pinned otherwise already.
    """
    if require_pinnable(site, identity):
        if fingerprint is not None:
            _require_confirmed(identity, fingerprint, confirm)
        return _result(_known(site, identity.site))
    _require_confirmed(identity, fingerprint, confirm)
    with site.writing():
        if not require_pinnable(site, identity):
            with site.transaction():
                record(site, identity)
            site.checkpoint()
        return _result(_known(site, identity.site))


def require_pinnable(site: OpenSite, identity: Identity) -> bool:
    """Whether an identity is pinned already; raises :class:`PolicyError` if its site is pinned or revoked otherwise."""
    if identity.site == site.identity.site:
        raise UsageError("this is the identity of this very site", hint="give it to your partner, and add theirs here")
    known = catalogue.partner(site.db, site.require_vault(), identity.site)
    if known is None:
        return False
    if known.status == "pinned" and known.fingerprint == identity.fingerprint:
        return True
    if known.status == "revoked":
        raise PolicyError(f"{identity.site} was revoked", hint="anpr-share partner replace FILE pins a new identity")
    raise PolicyError(
        f"{identity.site} is pinned with another identity",
        hint="ask the partner; if it really has a new one: anpr-share partner replace FILE",
    )


def record(site: OpenSite, identity: Identity, event: str = "partner-pinned") -> None:
    """Record a confirmed identity, inside the caller's transaction."""
    partner = catalogue.Partner(
        identity.site, identity.name, identity.role, identity.fingerprint, identity.envelope, "pinned", site.now()
    )
    catalogue.pin(site.db, site.require_vault(), partner)
    site.record(event, identity.site, {"fingerprint": identity.fingerprint, "role": identity.role})


def replace(site: OpenSite, identity: Identity, fingerprint: str | None, confirm: Confirm) -> PartnerResult:
    """Pin a partner's new identity in place of the old one, after its fingerprint is compared anew."""
    known = _known(site, identity.site)
    if known.role != identity.role:
        raise PolicyError(
            f"{identity.site} changes its role, which a replacement cannot do",
            hint="revoke it, and set up a partner of another id",
        )
    _require_confirmed(identity, fingerprint, confirm)
    with site.writing():
        if _known(site, identity.site) != known:
            raise PolicyError(
                f"{identity.site} was changed here while its new identity was confirmed",
                hint="look at it with anpr-share partner list, and begin anew",
            )
        if known.status != "pinned" or known.fingerprint != identity.fingerprint:
            with site.transaction():
                record(site, identity, "partner-replaced")
        site.checkpoint()
        return _result(_known(site, identity.site))


def revoke(site: OpenSite, partner: str) -> PartnerResult:
    """Trust a partner no more: nothing it signs is accepted, and nothing is exported to it."""
    with site.writing():
        if _known(site, partner).status != "revoked":
            with site.transaction():
                revoked = catalogue.revoke(site.db, site.require_vault(), partner)
                site.record("partner-revoked", revoked.id, {"fingerprint": revoked.fingerprint})
        site.checkpoint()
        return _result(_known(site, partner))


def listed(site: OpenSite) -> tuple[PartnerResult, ...]:
    """All partners, the revoked ones too."""
    return tuple(_result(item) for item in catalogue.partners(site.db, site.vault))


def require_pinned(site: OpenSite, fingerprint: str, *, who: str = "the sender") -> Identity:
    """The pinned partner with this fingerprint, called ``who`` in messages.

    Raises :class:`PolicyError` if it is unknown, revoked, or this very site.
    """
    if fingerprint == site.identity.fingerprint:
        raise PolicyError(
            "this document was made by this very site", hint="hand it to the partner that it was made for"
        )
    known = catalogue.partner_by_fingerprint(site.db, site.require_vault(), fingerprint)
    if known is None:
        raise PolicyError(f"{who} is not known to this site", hint="anpr-share partner add FILE")
    if known.status == "revoked":
        raise PolicyError(
            f"{who} {known.id} was revoked", hint="if it is to be trusted again: anpr-share partner replace FILE"
        )
    return Identity.parse(known.identity)


def require_party(agreement: Agreement, fingerprint: str, role: Role, what: str) -> Identity:
    """The sender of a document (``what``). Raises :class:`PolicyError` if it is no party of the agreement and role."""
    party = agreement.identity(fingerprint, role)
    if party is None:
        kind = "police party of" if role == "police" else "university that is party to"
        raise PolicyError(
            f"{what} does not come from a {kind} the agreement", hint="anpr-share agreement show lists its parties"
        )
    return party


def require_past(created: datetime, now: datetime, what: str) -> None:
    """Raise :class:`PolicyError` if a document (``what``) says that it was made after now, as clocks may differ."""
    if created > now + CREATED_TOLERANCE:
        raise PolicyError(
            f"{what} says that it was made in the future: one of the two clocks is wrong",
            hint="set the wrong clock right; if it was the sender's, it makes the document anew",
        )


def _known(site: OpenSite, identifier: str) -> catalogue.Partner:
    known = catalogue.partner(site.db, site.require_vault(), identifier)
    if known is None:
        raise PolicyError("no partner has this id", hint="anpr-share partner list shows them")
    return known


def _require_confirmed(identity: Identity, fingerprint: str | None, confirm: Confirm) -> None:
    if fingerprint is not None:
        if unspoken(fingerprint) != identity.fingerprint:
            raise PolicyError(
                f"the fingerprint of this identity is not the one given for {identity.site}",
                hint="do not go on: have the partner read theirs out over the telephone",
            )
    elif not confirm(
        f"{identity.name} ({identity.site}, {identity.role})\n{spoken(identity.fingerprint)}\n"
        "Is this what the partner read out to you?"
    ):
        raise PolicyError(
            "the fingerprint was not confirmed, so nothing was pinned",
            hint="call the partner by a number that you know, and compare the fingerprints",
        )


def _result(partner: catalogue.Partner) -> PartnerResult:
    return PartnerResult(partner.id, partner.name, partner.role, partner.fingerprint, partner.status, partner.pinned_at)
