"""A force's side of a request: is it genuine, may it be answered, and which window is next.

Guarantees: nothing is prepared for a sender that is not pinned, not a university of the agreement, or whose window was
answered, has expired or has not ended.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from anpr_share import periods
from anpr_share.documents import envelope as dsse
from anpr_share.documents import request as requests
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.identity import Identity
from anpr_share.documents.model import short_text
from anpr_share.documents.request import Request, RequestedWindow
from anpr_share.errors import InputError, PolicyError
from anpr_share.files import recorded, storage_errors
from anpr_share.periods import Now
from anpr_share.pseudonyms import LinkageKey
from anpr_share.site import catalogue, holdings, publication, records
from anpr_share.site.files import DIRECTORY_MODE
from anpr_share.site.opened import OpenSite
from anpr_share.site.publication import Publication
from anpr_share.site.purpose import check_purpose
from anpr_share.work import agreements, heads, partners
from anpr_share.work.verifying import require_in_force


@dataclass(frozen=True, slots=True)
class Answer:
    """A request that may be answered. ``used`` are the first days of the windows that were answered already."""

    now: Now
    agreement: Agreement
    request: Request
    request_digest: str
    envelope: dsse.Envelope
    university: Identity
    linkage: LinkageKey
    used: frozenset[date]

    def choose(self, day: date | None, days_of_extract: Callable[[], frozenset[date]]) -> RequestedWindow:
        """The window that holds ``day``, or else the oldest open one that the extract reaches.

        The extract is looked into only where there is a choice. Raises :class:`PolicyError`, and
        :class:`InputError` if the extract reaches no open window.
        """
        if day is not None:
            window = next((item for item in self.request.windows if item.window.contains(day)), None)
            if window is None:
                raise PolicyError(
                    f"the request asks for no window that holds {day}",
                    hint="leave --window out to take the oldest open one",
                )
            if (fault := self.fault(window)) is not None:
                raise fault
            return window
        faults = [self.fault(window) for window in self.request.windows]
        open_windows = [window for window, fault in zip(self.request.windows, faults, strict=True) if fault is None]
        if not open_windows:
            # What may still be answered tells more than what was.
            raise max((fault for fault in faults if fault is not None), key=lambda fault: "not ended" in fault.message)
        if len(open_windows) == 1:
            return open_windows[0]
        days = days_of_extract()
        reached = [window for window in open_windows if any(window.window.contains(item) for item in days)]
        if not reached:
            raise InputError(
                f"the extract holds no read of any of the {len(open_windows)} open windows of the request",
                hint="name a window with --window DAY to see what the extract lacks",
            )
        return reached[0]

    def fault(self, window: RequestedWindow) -> PolicyError | None:
        """Why a window cannot be answered now, or None."""
        zone, days = self.agreement.zone, f"{window.first} to {window.last}"
        if window.first in self.used:
            return PolicyError(
                f"the window {days} of the request has been answered already",
                hint="send that bundle again, or have the university ask for the days anew",
            )
        if self.now.instant >= self.request.dies(window, zone):
            return PolicyError(
                f"the window {days} of the request has expired", hint="have the university ask for the days anew"
            )
        if self.now.instant < periods.day_end(window.last, zone):
            return PolicyError(
                f"the window {days} of the request has not ended yet",
                hint=f"export it when {window.last} is over ({zone.key})",
            )
        return None


def prepare(site: OpenSite, data: bytes) -> Answer:
    """Check a request against this site, its partners and the agreement in force.

    Raises :class:`VerificationError` for a bad signature, :class:`PolicyError` for what may not be answered and
    :class:`LockedError` without the linkage key.
    """
    if site.identity.role != "police":
        raise PolicyError("only a force exports", hint="a university asks: anpr-share request")
    request, envelope = requests.parse(data)
    university = partners.require_pinned(site, request.sender)
    dsse.verify(envelope, university.signing)
    now = site.reading()
    agreement = agreements.current(site, request.agreement_id)
    if request.agreement != agreement.digest:
        raise PolicyError("the request was made under another version of the agreement", hint="ask for a new request")
    require_in_force(agreement, now.instant)
    partners.require_party(agreement, request.sender, "university", "the request")
    if request.recipient != site.identity.fingerprint:
        raise PolicyError(
            "the request is for another force",
            hint="hand it to the force that it is for, or ask the university for one of your own",
        )
    partners.require_past(request.created, now.instant, "the request")
    windows = catalogue.windows(site.db, site.require_vault(), envelope.digest)
    used = frozenset(window.first for window in windows if window.state == "used")
    linkage = agreements.linkage_key(site, agreement.id)
    return Answer(now, agreement, request, envelope.digest, envelope, university, linkage, used)


def checked_authority(text: str | None) -> str | None:
    """The reference of a named authority, if one was given, as the ledger and the quality record can hold it.

    Raises :class:`UsageError` for empty text and :class:`PolicyError` for what may be a plate.
    """
    return None if text is None else check_purpose(short_text(text, "authority"), "authority")


@contextmanager
def publishing(site: OpenSite, finals: Sequence[Path]) -> Iterator[tuple[Path, list[Publication]]]:
    """As :func:`publication.publishing`, with a directory for the temporaries of the run, which is never published."""
    scratch = site.paths.outbox / f"scratch-{secrets.token_hex(8)}"
    with publication.publishing(site.db, site.paths, [scratch, *finals]) as (staged, *files):
        with storage_errors("a directory for temporary files cannot be made"):
            staged.temporary.mkdir(mode=DIRECTORY_MODE)
        yield staged.temporary, files


def use_window(site: OpenSite, answer: Answer, window: RequestedWindow, bundle: str) -> None:
    """Mark a window as answered, inside the caller's transaction; records the request if this is its first answer."""
    vault, digest = site.require_vault(), answer.request_digest
    if catalogue.request(site.db, vault, digest) is None:
        known = catalogue.KnownRequest(
            digest,
            answer.agreement.id,
            answer.university.site,
            "received",
            answer.envelope.encode(),
            answer.request.created,
        )
        catalogue.record_request(site.db, vault, known, tuple(item.window for item in answer.request.windows))
        heads.keep(site, answer.university.site, digest, answer.request.head)
    catalogue.use_window(site.db, vault, digest, window.first, bundle)


def register(
    site: OpenSite,
    kind: Literal["extract", "output"],
    paths: Iterable[Path],
    agreement: Agreement,
    table: str,
    oldest: date,
) -> None:
    """Register files under retention, inside the caller's transaction; a file keeps the oldest of its days."""
    vault, now = site.require_vault(), site.now()
    for path in paths:
        where = path.resolve()
        recorded(where)
        place = (site.paths.place(where), agreement.id, table)
        known = records.one(site.db, holdings.Registered, vault, "path = ? AND agreement = ? AND tbl = ?", *place)
        day = oldest if known is None else min(oldest, known.day)
        if known is not None and table == "reads" and agreement.is_expired(table, known.day, now):
            day = oldest  # a name that was used again: were the old days still in it, the oldest would be of them
        records.put(site.db, holdings.Registered(place[0], kind, agreement.id, table, day, now), vault)
