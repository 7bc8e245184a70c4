"""One screen about a site: what is agreed, held, due, overdue and waiting. Needs no passphrase and changes nothing.

What is held is what a key is there for: a part that was recorded and has lost its key, as after a restore, is gone.
What is overdue is said whole: what it is, since when, and the command or the deed that ends it.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from anpr_share import periods
from anpr_share.documents import agreement as agreements
from anpr_share.documents import request as requests
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.request import RequestedWindow
from anpr_share.errors import PolicyError
from anpr_share.site import catalogue, holdings, publication
from anpr_share.site.holdings import KeyPlace
from anpr_share.site.opened import OpenSite
from anpr_share.site.vault import secret_names
from anpr_share.wording import spoken_name
from anpr_share.words import count, moment
from anpr_share.work.agreements import LINKAGE, key_destroyed_on
from anpr_share.work.erasing import is_ours


@dataclass(frozen=True, slots=True)
class HeldStatus:
    """What is held of one table from one force. Reads have days; of other tables ``days`` is 0 and no day is named.

    ``next_deletion`` takes ``next_deletion_days`` of them, or the whole of a table without days. ``overdue`` are those
    past their limit, which count among nothing else here; ``overdue_since`` is when the first of them was due.
    """

    source: str
    table: str
    rows: int
    days: int
    first_day: date | None
    last_day: date | None
    next_deletion: datetime | None
    next_deletion_days: int
    overdue: int
    overdue_since: datetime | None


@dataclass(frozen=True, slots=True)
class AgreementStatus:
    """One agreement: its term, and the days of reads held under it; ``held`` has them by force and table.

    ``next_deletion`` is the next of any table, ``next_deletion_days`` how many days of reads then go, each counted once
    however many forces they came from. ``lost_days`` are those of tables, bundles and forces whose keys are gone before
    their time, as after a restore.
    """

    agreement: str
    version: int
    title: str
    starts: date
    ends: date
    in_force: bool
    bundles: int
    rows: int
    days: int
    first_day: date | None
    last_day: date | None
    overdue_days: int
    next_deletion: datetime | None
    next_deletion_days: int
    timezone: str
    linkage_key: bool
    held: tuple[HeldStatus, ...] = ()
    lost_days: int = 0
    closed_on: date | None = None
    key_destroyed_on: date | None = None


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """One window of a request: ``answered``, ``open``, ``waiting`` for its last day to end, ``expired``, or ``lost``:
    its one-time key is not here any more, so no answer opens.

    ``until`` is when its one-time key dies or the agreement ends: by then it must be answered, and the answer loaded.
    """

    first: date
    last: date
    state: Literal["answered", "open", "waiting", "expired", "lost"]
    until: datetime


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """One request: how many of its windows are answered, open (or waiting) and expired (or lost), and each of them."""

    request: str
    agreement: str
    partner: str
    direction: str
    used: int
    open: int
    expired: int
    timezone: str
    windows: tuple[WindowStatus, ...]


@dataclass(frozen=True, slots=True)
class FileStatus:
    """A file that lies under retention and is still where it was: an ``extract``, or an ``output`` made here.

    ``inside`` says that it is in the site's inbox or outbox, where purge deletes it.
    """

    name: str
    kind: str
    agreement: str
    delete_by: datetime
    timezone: str
    inside: bool = False


@dataclass(frozen=True, slots=True)
class StatusResult:
    """The whole screen. ``overdue`` says in words what should have been destroyed, since when, and what to do;
    ``warnings`` the rest; ``next`` what to do now, a command each.
    """

    site: str
    name: str
    role: str
    fingerprint: str
    now: datetime
    partners: int
    agreements: tuple[AgreementStatus, ...]
    requests: tuple[RequestStatus, ...]
    files: tuple[FileStatus, ...]
    ledger_lines: int
    overdue: tuple[str, ...]
    warnings: tuple[str, ...]
    next: tuple[str, ...]
    last_purge: datetime | None


def status(site: OpenSite) -> StatusResult:
    """Read what the site's records say; they are not authenticated without the passphrase."""
    warnings: list[str] = []
    try:
        reading = site.reading()
        now, leapt = reading.instant, reading.leapt
    except PolicyError as error:
        warnings.append(f"{error.message}; {error.hint}")
        now, leapt = site.shown_time(), False
    keys = frozenset(holdings.key_places(site.db))
    found = tuple(
        _agreement(site, agreements.parse(item.envelope), keys, now, item.closed_at)
        for item in catalogue.agreements(site.db, None)
    )
    files = tuple(_files(site))
    purge = f"anpr-share purge{f' --confirm-date {now:%Y-%m-%d}' if leapt else ''}"
    overdue = [*_overdue_days(found, purge), *_overdue_files(files, now, purge)]
    if leapt:
        warnings.append(
            f"the clock shows {now:%Y-%m-%d}, long after the last line of the ledger; set it right if it is wrong"
        )
    lost = sum(item.lost_days for item in found)
    if _is_restored(site):
        warnings.append("this site was restored from a backup: its data and one-time keys are gone; ask for them anew")
    elif lost:
        warnings.append(f"recorded days whose keys, and so data, are gone: {lost}; ask for them anew")
    warnings += _unanswered(site)
    warnings += _unfinished(site)
    asked = tuple(_requests(site, now))
    pinned = {item.id for item in catalogue.partners(site.db, None) if item.status == "pinned"}
    trusted = [item for item in asked if item.partner in pinned]
    then = _next_force(found, trusted) if site.identity.role == "police" else _next_university(found, trusted)
    here = any(item.overdue_days for item in found) or any(item.inside and item.delete_by <= now for item in files)
    destroying = [f"destroy what has expired: {purge}"] if here else []
    purged = site.ledger.last_of("purge")
    if files or any(item.held for item in found):
        warnings += _unpurged(site, now, None if purged is None else purged.time)
    return StatusResult(
        site=site.identity.site,
        name=site.identity.name,
        role=site.identity.role,
        fingerprint=site.identity.fingerprint,
        now=now,
        partners=len(pinned),
        agreements=found,
        requests=asked,
        files=files,
        ledger_lines=site.ledger.head().seq,
        overdue=tuple(overdue),
        warnings=tuple(warnings),
        next=tuple(dict.fromkeys([*destroying, *then])),
        last_purge=None if purged is None else purged.time,
    )


def _overdue_days(found: Sequence[AgreementStatus], purge: str) -> Iterator[str]:
    for agreement in found:
        for item in agreement.held:
            if item.overdue_since is not None:
                what = f"{count(item.overdue, 'day')} of reads" if item.table == "reads" else item.table
                since = moment(item.overdue_since, agreement.timezone)
                yield f"{what} from {item.source} ({agreement.agreement}), since {since}: {purge}"


def _overdue_files(files: Sequence[FileStatus], now: datetime, purge: str) -> Iterator[str]:
    for item in files:
        if item.delete_by <= now:
            then = purge if item.inside else "delete it yourself, since it lies outside of inbox/ and outbox/"
            yield f"{item.name} ({item.kind}), since {moment(item.delete_by, item.timezone)}: {then}"


def _unpurged(site: OpenSite, now: datetime, purged: datetime | None) -> Iterator[str]:
    """A site that holds something needs its nightly run; a new one is given as long as any other."""
    since = purged or next((entry.time for entry in site.ledger.lines()), now)
    if now - since > periods.LONGEST_WITHOUT_PURGE:
        days = count((now - since).days, "day")
        yield (
            f"no purge has run here {'for' if purged else 'yet, in'} {days}, though data lie under retention: have it "
            "run every night, as anpr-share schedule shows"
        )


def _files(site: OpenSite) -> Iterator[FileStatus]:
    """Registered files that are there, the first due first, each once for an agreement."""
    known = {item.id: item for item in catalogue.agreements(site.db, None)}
    terms = {name: agreements.parse(item.envelope) for name, item in known.items()}
    due: dict[tuple[Path, str, str], datetime] = {}
    for item in holdings.registered(site.db, None):
        path, agreement = site.paths.root / item.path, terms[item.agreement]
        if os.path.lexists(path):
            place, delete_by = (path, item.kind, agreement.id), agreement.delete_by(item.tbl, item.day)
            closed_at = known[item.agreement].closed_at or delete_by
            due[place] = min(delete_by, closed_at, due.get(place, delete_by))
    for (path, kind, name), delete_by in sorted(due.items(), key=lambda item: item[1]):
        inside = is_ours(site.paths, path)
        yield FileStatus(spoken_name(path), kind, name, delete_by, terms[name].zone.key, inside)


def _unanswered(site: OpenSite) -> Iterator[str]:
    """A force's notices of which no receipt has come."""
    for item in holdings.notices(site.db, None):
        if item.direction == "made" and item.receipt is None:
            yield f"no receipt of {item.partner} answers the notice of {item.at:%Y-%m-%d} yet: ask whether it came"


def _unfinished(site: OpenSite) -> Iterator[str]:
    """The files that an interrupted command left, by what must be done about them."""
    waiting: defaultdict[str | None, list[str]] = defaultdict(list)
    for item in publication.pending(site.db, site.paths):
        waiting[publication.obstacle(item)].append(spoken_name(item.final))
    for obstacle, names in waiting.items():
        what = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        if obstacle is None:
            yield f"{what}, of an interrupted command: the next command that writes finishes or removes it"
        else:
            yield f"{what}, of an interrupted command, cannot be finished: {obstacle}"


_AGREE = (
    "hand your identity.json to your partners, and ask for theirs",
    "draft an agreement: anpr-share agreement draft --party IDENTITY --party IDENTITY",
    "or sign what you were sent: anpr-share agreement sign FILE -o OUT",
    "when all have signed: anpr-share agreement accept FILE",
)


def _next_force(found: Sequence[AgreementStatus], asked: Sequence[RequestStatus]) -> Iterator[str]:
    if not found:
        yield from _AGREE
    current = [item for item in found if item.in_force]
    for item in current:
        if not item.linkage_key and item.key_destroyed_on is None:
            yield f"take in the linkage key of {item.agreement} that the first force sends: anpr-share key accept FILE"
    for request in asked:
        windows = [window for window in request.windows if window.state == "open"]
        if windows:
            yield (
                f"answer {request.partner} for {windows[0].first} to {windows[0].last}: "
                "anpr-share export --request FILE --reads FILE --profile PROFILE -o OUT"
            )
    if any(item.linkage_key for item in current) and not any(_is_waited_for(item) for item in asked):
        yield "when a request comes: anpr-share export --request FILE --reads FILE --profile PROFILE -o OUT"


def _next_university(found: Sequence[AgreementStatus], asked: Sequence[RequestStatus]) -> Iterator[str]:
    if not found:
        yield from _AGREE
    for item in found:
        waited = [request for request in asked if request.agreement == item.agreement and _is_waited_for(request)]
        if item.in_force and not waited:
            yield f"ask a force: anpr-share request {item.agreement} --to FORCE --from DAY --until DAY -o FILE"
        for request in waited:
            yield f"when {request.partner} answers: anpr-share load BUNDLE"
    if any(item.in_force and item.rows for item in found):
        yield "look at what is held: anpr-share link --purpose TEXT, or anpr_share.Site in Python"


def _is_waited_for(request: RequestStatus) -> bool:
    return any(window.state in {"open", "waiting"} for window in request.windows)


def _is_restored(site: OpenSite) -> bool:
    """Whether nothing was loaded since the university's site came back without its keys. A force holds no data."""
    if site.identity.role != "university":
        return False
    last = site.ledger.last_of("restored", "collection")
    return last is not None and last.event == "restored"


def _agreement(
    site: OpenSite, agreement: Agreement, keys: frozenset[KeyPlace], now: datetime, closed_at: datetime | None
) -> AgreementStatus:
    terms = agreement.terms
    today = periods.day_of(now, agreement.zone)
    bundles = {item.id: item for item in holdings.bundles(site.db, None, agreement=agreement.id)}
    found: defaultdict[tuple[str, str], dict[str, _Held]] = defaultdict(dict)
    lost: set[KeyPlace] = set()
    for part in holdings.parts(site.db, None, agreement=agreement.id):
        bundle = bundles.get(part.bundle)
        if bundle is None:
            continue
        day = agreement.counted_day(part.day, bundle.created, bundle.at)
        due = agreement.delete_by(part.tbl, day)
        if part.place in keys:
            found[part.source, part.tbl].setdefault(part.day, _Held(day, due, 0)).rows += part.rows
        elif due > now and closed_at is None:
            lost.add(part.place)
    held = tuple(_held(source, table, items.values(), now) for (source, table), items in sorted(found.items()))
    days = {
        item.day for (_, tbl), items in found.items() if tbl == "reads" for item in items.values() if item.due > now
    }
    overdue = {(tbl, item.day) for (_, tbl), items in found.items() for item in items.values() if item.due <= now}
    following = min((item.next_deletion for item in held if item.next_deletion is not None), default=None)
    destroyed_on = key_destroyed_on(site, agreement)
    return AgreementStatus(
        agreement=agreement.id,
        version=terms.version,
        title=terms.title,
        starts=terms.starts,
        ends=terms.ends,
        in_force=closed_at is None and terms.starts <= today <= terms.ends,
        bundles=len(bundles),
        rows=sum(item.rows for item in held),
        days=len(days),
        first_day=min(days, default=None),
        last_day=max(days, default=None),
        overdue_days=len(overdue),
        next_deletion=following,
        next_deletion_days=sum(agreement.delete_by("reads", day) == following for day in days),
        timezone=agreement.zone.key,
        linkage_key=destroyed_on is None and agreement.id in secret_names(site.db, LINKAGE),
        held=held,
        lost_days=len(lost),
        closed_on=None if closed_at is None else periods.day_of(closed_at, agreement.zone),
        key_destroyed_on=destroyed_on,
    )


@dataclass(slots=True)
class _Held:
    """One day of a table from one force, or all of a table without days; ``day`` is what its limit counts from."""

    day: date
    due: datetime
    rows: int


def _held(source: str, table: str, found: Collection[_Held], now: datetime) -> HeldStatus:
    live, late = [item for item in found if item.due > now], [item.due for item in found if item.due <= now]
    days = [item.day for item in live] if table == "reads" else []
    following = min((item.due for item in live), default=None)
    return HeldStatus(
        source,
        table,
        rows=sum(item.rows for item in live),
        days=len(days),
        first_day=min(days, default=None),
        last_day=max(days, default=None),
        next_deletion=following,
        next_deletion_days=sum(item.due == following for item in live) if days else 0,
        overdue=len(late),
        overdue_since=min(late, default=None),
    )


def _requests(site: OpenSite, now: datetime) -> Iterator[RequestStatus]:
    keys = frozenset(holdings.onetime_places(site.db))
    in_force = {item.id: item for item in catalogue.agreements(site.db, None)}
    terms: dict[str, Agreement] = {}
    for known in catalogue.requests(site.db, None):
        request, _ = requests.parse(known.envelope)
        if request.agreement not in terms:
            record = catalogue.agreement_by_digest(site.db, None, request.agreement)
            if record is None:
                continue  # what it is about was never accepted here
            terms[request.agreement] = agreements.parse(record.envelope)
        agreement = terms[request.agreement]
        last = in_force[known.agreement]
        over = [last.closed_at] if last.closed_at is not None else []
        over += [last.accepted_at] if last.digest != request.agreement else []
        used = {item.first for item in catalogue.windows(site.db, None, known.digest) if item.state == "used"}
        lost = {
            item.first
            for item in request.windows
            if known.direction == "made" and (known.digest, item.first.isoformat()) not in keys
        }
        windows = tuple(
            _window(
                item,
                min([request.closes(item, agreement), *over]),
                agreement,
                now,
                is_used=item.first in used,
                is_lost=item.first in lost,
            )
            for item in request.windows
        )
        states = Counter(item.state for item in windows)
        yield RequestStatus(
            known.digest,
            known.agreement,
            known.partner,
            known.direction,
            states["answered"],
            states["open"] + states["waiting"],
            states["expired"] + states["lost"],
            agreement.zone.key,
            windows,
        )


def _window(
    window: RequestedWindow, until: datetime, agreement: Agreement, now: datetime, *, is_used: bool, is_lost: bool
) -> WindowStatus:
    state: Literal["answered", "open", "waiting", "expired", "lost"] = "open"
    if is_used:
        state = "answered"
    elif now >= until:
        state = "expired"
    elif is_lost:
        state = "lost"
    elif now < periods.day_end(window.last, agreement.zone):
        state = "waiting"
    return WindowStatus(window.first, window.last, state, until)
