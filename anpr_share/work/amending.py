"""The draft of an agreement's next version: its terms, its parties as they are known now, and any that join.

Guarantees: the draft names the version in force as the one that it replaces, so tokens stay; it holds every party of
it, with the identity that is pinned here. It is a proposal like any other draft: people read it before they sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anpr_share.documents.draft import draft_toml
from anpr_share.documents.identity import Identity
from anpr_share.errors import UsageError
from anpr_share.periods import day_of
from anpr_share.site import catalogue
from anpr_share.site.opened import OpenSite
from anpr_share.work import agreements


@dataclass(frozen=True, slots=True)
class AmendResult:
    """The draft as TOML; ``replaced`` are parties listed with an identity that was pinned since."""

    agreement: str
    version: int
    replaced: tuple[str, ...]
    text: str


def amend(site: OpenSite, identifier: str, joining: Sequence[Identity]) -> AmendResult:
    """Draft the next version. Raises :class:`PolicyError` for an agreement that is unknown or closed here,
    :class:`UsageError` for parties that cannot join.
    """
    agreement = agreements.current(site, identifier)
    pinned = {item.id: item for item in catalogue.partners(site.db, site.vault) if item.status == "pinned"}
    parties, replaced = [], []
    for party in agreement.identities:
        known = pinned.get(party.site)
        if known is None or known.fingerprint == party.fingerprint:
            parties.append(party)
        else:
            parties.append(Identity.parse(known.identity))
            replaced.append(party.site)
    for identity in joining:
        if agreement.party(identity.site) is not None:
            raise UsageError(
                f"{identity.site} is a party already",
                hint="a party's new identity is pinned with anpr-share partner replace FILE, and then listed here",
            )
    text = draft_toml([*parties, *joining], day_of(site.now(), agreement.zone), agreement)
    return AmendResult(agreement.id, agreement.terms.version + 1, tuple(replaced), text)
