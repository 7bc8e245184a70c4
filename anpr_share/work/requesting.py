"""A university's request: windows of capture days, a fresh one-time key for each.

Guarantees: the private keys are in the vault's care before the request exists as a file; a request names one force, one
agreement and this site.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from anpr_share import periods
from anpr_share.documents import envelope as dsse
from anpr_share.documents import request as requests
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.keys import OpeningKey
from anpr_share.documents.model import write
from anpr_share.errors import PolicyError
from anpr_share.site import catalogue, holdings, publication
from anpr_share.site.files import create_private
from anpr_share.site.opened import OpenSite
from anpr_share.work import agreements, heads, partners
from anpr_share.work.verifying import require_in_force


@dataclass(frozen=True, slots=True)
class RequestResult:
    """A request that was written. ``expires`` is when its last window's key is destroyed or the agreement ends,
    ``timezone`` the agreement's.
    """

    request: str
    agreement: str
    recipient: str
    windows: tuple[periods.Window, ...]
    expires: datetime
    timezone: str
    path: Path


def request(
    site: OpenSite, agreement_id: str, to: str, first: date, last: date, every: periods.Duration | None, out: Path
) -> RequestResult:
    """Ask a force for the capture days ``first`` to ``last``, in one window or one for each ``every``.

    Raises :class:`PolicyError` if the agreement, this site's role in it or the force forbids it, or a window could not
    be answered.
    """
    agreement = agreements.current(site, agreement_id)
    now = site.now()
    require_in_force(agreement, now)
    if agreement.identity(site.identity.fingerprint, "university") is None:
        raise PolicyError(
            "only a university that is party to the agreement asks for data",
            hint="a force waits for a request: anpr-share export --request FILE",
        )
    force = agreement.party(to, "police")
    if force is None:
        raise PolicyError("the force is no police party of the agreement", hint="anpr-share agreement show")
    partners.require_pinned(site, force.fingerprint, who="the force")
    windows = periods.windows(first, last, every)
    _require_answerable(agreement, windows, now)
    _require_new(site, agreement, force.site, windows)
    keys = [OpeningKey.generate() for _ in windows]
    document = requests.Request(
        format=1,
        agreement=agreement.digest,
        agreement_id=agreement.id,
        sender=site.identity.fingerprint,
        recipient=force.fingerprint,
        created=now,
        windows=tuple(
            requests.RequestedWindow(first=window.first, last=window.last, key=dsse.to_base64(key.public))
            for window, key in zip(windows, keys, strict=True)
        ),
        head=heads.ours(site),
    )
    envelope = dsse.sign(requests.KIND, write(document), site.signing_key)
    vault = site.require_vault()
    with site.writing():
        with publication.publishing(site.db, site.paths, [out]) as files:
            create_private(files[0].temporary, envelope.encode())
            with site.transaction():
                known = catalogue.KnownRequest(
                    envelope.digest, agreement.id, force.site, "made", envelope.encode(), now
                )
                catalogue.record_request(site.db, vault, known, windows)
                for window, key in zip(windows, keys, strict=True):
                    holdings.put_onetime_key(site.db, vault, envelope.digest, window.first, key)
                site.record(
                    "request-made",
                    agreement.id,
                    {
                        "first": first.isoformat(),
                        "last": last.isoformat(),
                        "recipient": force.site,
                        "request": envelope.digest,
                        "windows": len(windows),
                    },
                )
                publication.commit(site.db, files)
        site.checkpoint()
    expires = max(document.closes(window, agreement) for window in document.windows)
    return RequestResult(
        envelope.digest, agreement.id, force.site, windows, expires, agreement.zone.key, files[0].final
    )


def _require_answerable(agreement: Agreement, windows: tuple[periods.Window, ...], now: datetime) -> None:
    """A window is answered once its last day has ended, while the agreement is in force and that day may be kept."""
    if windows[-1].last >= agreement.terms.ends:
        raise PolicyError(
            f"days from {agreement.terms.ends} on cannot be answered: once they are over, so is it",
            hint=f"ask for days until {agreement.terms.ends - timedelta(days=1)}",
        )
    if agreement.is_expired("reads", windows[0].last, now):
        raise PolicyError(
            f"no read of {windows[0].first} to {windows[0].last} may be held any more",
            hint=f"ask for days from {agreement.oldest_kept('reads', now)} on",
        )


def _require_new(site: OpenSite, agreement: Agreement, force: str, windows: tuple[periods.Window, ...]) -> None:
    """What would come is refused at step 5 if a day of it is held already, and takes the other days with it."""
    held = {
        periods.parse_day(item.day)
        for item in holdings.held_days(site.db, site.require_vault(), agreement.id, force, "reads")
    }
    again = sorted(day for day in held if windows[0].first <= day <= windows[-1].last)
    if again:
        raise PolicyError(
            f"{len(again)} of these days are held from this force already: {again[0]} to {again[-1]}",
            hint="ask for the other days alone",
        )
