"""Rolling deletion: what has expired is destroyed, day by day, and the ledger says so. Needs no passphrase.

Guarantees: the keys and records of expired days go in the transaction that holds the ledger's lines about them, then
their files; a run that was killed is finished by the next. Nothing that has not expired is touched. Of registered
files, only those in the site's own ``inbox/`` and ``outbox/`` are deleted; others are named. While the clock is
suspiciously far ahead nothing is destroyed until its day is confirmed: what may have expired is invisible meanwhile,
and a wrong clock must not cost a year of data. From the confirmation on, time is measured from it.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from anpr_share import periods
from anpr_share.documents import agreement as agreements
from anpr_share.documents import request as requests
from anpr_share.documents.agreement import Agreement
from anpr_share.errors import PolicyError
from anpr_share.periods import UNDATED, Duration, Now, utc_text
from anpr_share.site import catalogue, holdings
from anpr_share.site.holdings import DeletionReason, KeyPlace
from anpr_share.site.ledger import CLOCK_CONFIRMED, Details
from anpr_share.site.opened import OpenSite
from anpr_share.wording import spoken_name, spoken_path
from anpr_share.work.erasing import delete_registered, erase, is_ours, leaves_files, remove_erased

_LONGEST: Final = Duration(months=periods.MAX_MONTHS)
_WESTERNMOST: Final = ZoneInfo("Etc/GMT+12")
"""The limit of any agreement, in the zone whose days end last."""


@dataclass(frozen=True, slots=True)
class DueDay:
    """A day of a table that is held from a force, or was: ``day`` is ``undated`` where a table has none."""

    agreement: str
    source: str
    table: str
    day: str
    rows: int
    due: datetime
    timezone: str


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """What was destroyed, or with ``dry_run`` what would be; ``later`` goes when its time comes.

    ``windows`` counts one-time keys of requests that nobody can answer any more; ``files`` are the extracts and outputs
    deleted here, ``elsewhere`` those past their time that a person must delete.
    """

    now: datetime
    dry_run: bool
    days: tuple[DueDay, ...]
    later: tuple[DueDay, ...]
    windows: int
    files: tuple[str, ...]
    elsewhere: tuple[str, ...]


def purge(site: OpenSite, *, confirmed: date | None = None) -> PurgeResult:
    """Destroy what has expired, and log the run, whatever it found.

    Raises :class:`PolicyError` if the clock has leapt and no day is ``confirmed``, or if the confirmed one is not the
    day that the clock shows, in UTC, and :class:`StorageError` if a file cannot be deleted: its key is gone all the
    same.
    """
    with site.writing():
        reading = site.reading()
        today = _today(reading, confirmed)
        if reading.leapt:
            if confirmed is None:
                raise PolicyError(
                    f"the clock shows {today}, long after the last line of the ledger: nothing was destroyed",
                    hint=f"if it really is that day: anpr-share purge --confirm-date {today}",
                )
            with site.transaction():
                site.record(CLOCK_CONFIRMED, site.identity.site, {"date": today.isoformat()})
        due = _Due.now(site, reading.instant)
        due.destroy(site)
        due.delete(site)
        with site.transaction():
            counts: Details = {"days": len(due.days), "files": len(due.files), "windows": len(due.windows)}
            site.record("purge", site.identity.site, counts)
        return due.result(dry_run=False)


def preview(site: OpenSite, *, confirmed: date | None = None) -> PurgeResult:
    """What :func:`purge` would destroy now, and when the rest goes; changes nothing.

    Raises :class:`PolicyError` if ``confirmed`` is another day than the clock shows.
    """
    reading = site.reading()
    _today(reading, confirmed)
    return _Due.now(site, reading.instant).result(dry_run=True)


def expire(site: OpenSite) -> bool:
    """Destroy what has expired before a command does its work; False if the clock has leapt, and so nothing was done.

    Logs nothing where nothing has expired. Raises :class:`StorageError` as :func:`purge` does.
    """
    if not _Due.now(site, site.now(), only_due=True).any and not leaves_files(site):
        return True
    with site.writing():
        reading = site.reading()
        due = _Due.now(site, reading.instant, only_due=True)  # another command may have been first
        if due.any and reading.leapt:
            return False
        due.destroy(site)
        due.delete(site)
    return True


def _today(reading: Now, confirmed: date | None) -> date:
    """The day that the clock shows, in UTC. Whoever confirms another is wrong about it, or the clock is."""
    today = reading.instant.date()
    if confirmed not in (None, today):
        raise PolicyError(
            f"the clock shows {today} (UTC), and not {confirmed}: nothing was destroyed",
            hint=f"set this machine's clock right; if it is right: anpr-share purge --confirm-date {today}",
        )
    return today


@dataclass(frozen=True, slots=True)
class _Due:
    """What has expired at one moment, and what will; ``files`` are paths, each with one of its agreements."""

    at: datetime
    terms: dict[str, Agreement]
    days: dict[KeyPlace, DueDay]
    later: tuple[DueDay, ...]
    windows: tuple[tuple[str, date], ...]
    files: dict[str, str]
    elsewhere: tuple[str, ...]

    @classmethod
    def now(cls, site: OpenSite, at: datetime, *, only_due: bool = False) -> _Due:
        """With ``only_due`` nothing is said of what goes ``later``: on most days no record of a part is then read."""
        known = catalogue.agreements(site.db, site.vault)
        terms = {item.id: agreements.parse(item.envelope) for item in known}
        closed = {item.id for item in known if item.closed_at is not None}
        places = holdings.key_places(site.db)
        if only_due:
            places = tuple(_perhaps_due(site, terms, places, at))
        held = dict(days_of(site, terms, places)) if places else {}
        late = {
            item.path: item.agreement
            for item in holdings.registered(site.db, site.vault)
            # One that names no agreement known here was planted: it shall not keep anything from being destroyed.
            if item.agreement in terms
            and (item.agreement in closed or terms[item.agreement].is_expired(item.tbl, item.day, at))
        }
        ours = {name: agreement for name, agreement in late.items() if is_ours(site.paths, site.paths.root / name)}
        return cls(
            at,
            terms,
            {place: item for place, item in held.items() if item.due <= at},
            tuple(sorted((item for item in held.values() if item.due > at), key=lambda item: item.due)),
            tuple(_dead_windows(site, terms, at)),
            ours,
            tuple(name for name in late if name not in ours and os.path.lexists(site.paths.root / name)),
        )

    @property
    def any(self) -> bool:
        """Whether there is anything to destroy here."""
        return bool(self.days or self.windows or self.files)

    def destroy(self, site: OpenSite) -> None:
        """Everything that cannot be undone, and what the ledger says of it, in one transaction."""
        if not self.days and not self.windows:
            return
        with site.transaction():
            destroy_days(site, self.terms, self.days, "expired", now=self.at)
            destroy_windows(site, self.windows)

    def delete(self, site: OpenSite) -> None:
        """The files of what was destroyed, and registered ones in the site's own directories, then forgotten."""
        remove_erased(site)
        if not self.files:
            return
        delete_registered(site.paths.root / name for name in self.files)
        with site.transaction():
            for name in self.files:
                holdings.forget_registered(site.db, name)
            for agreement, count in Counter(self.files.values()).items():
                site.record("erasure", agreement, {"files": count, "reason": "expired"})

    def result(self, *, dry_run: bool) -> PurgeResult:
        return PurgeResult(
            self.at,
            dry_run,
            tuple(sorted(self.days.values(), key=lambda item: (item.due, item.source, item.table))),
            self.later,
            len(self.windows),
            tuple(spoken_name(Path(path)) for path in self.files),
            tuple(spoken_path(Path(path)) for path in self.elsewhere),
        )


def destroy_days(
    site: OpenSite,
    terms: Mapping[str, Agreement],
    days: Mapping[KeyPlace, DueDay],
    reason: DeletionReason,
    *,
    now: datetime,
) -> None:
    """Destroy days and log it, a line for each table of a bundle, inside the caller's transaction."""
    together: defaultdict[tuple[str, str, str], list[DueDay]] = defaultdict(list)
    for place, item in days.items():
        erase(site, place, item.source, item.rows, reason, due=item.due, now=now)
        together[place.agreement, place.bundle, place.tbl].append(item)
    for (agreement, bundle, table), items in together.items():
        known = terms.get(agreement)
        details: Details = {
            "agreement": None if known is None else known.digest,
            "days": tuple(sorted(item.day for item in items)),
            "due": utc_text(min(item.due for item in items)),
            "reason": reason,
            "rows": sum(item.rows for item in items),
            "table": table,
        }
        site.record("erasure", bundle, details)


def destroy_windows(site: OpenSite, windows: Sequence[tuple[str, date]]) -> None:
    """Destroy one-time keys, each of a request and its window's first day, and log it, inside the transaction."""
    for digest, first in windows:
        holdings.destroy_onetime_key(site.db, digest, first)
    for digest, count in Counter(digest for digest, _ in windows).items():
        site.record("onetime-keys-destroyed", digest, {"windows": count})


def days_of(
    site: OpenSite, terms: Mapping[str, Agreement], places: Iterable[KeyPlace]
) -> Iterator[tuple[KeyPlace, DueDay]]:
    """What is recorded of days of the store, and when each must go."""
    rows: Counter[KeyPlace] = Counter()
    for part in holdings.parts(site.db, site.vault):
        rows[part.place] += part.rows
    bundles = {item.id: item for item in holdings.bundles(site.db, site.vault, direction="loaded")}
    for place in places:
        agreement, bundle = terms.get(place.agreement), bundles.get(place.bundle)
        if agreement is not None and bundle is not None:
            due = agreement.delete_by(place.tbl, agreement.counted_day(place.day, bundle.created, bundle.at))
            yield (
                place,
                DueDay(place.agreement, bundle.partner, place.tbl, place.day, rows[place], due, agreement.zone.key),
            )
        elif place.day != UNDATED:
            # An older site.db beside a newer keys.db: what no record explains dies when no agreement could keep it.
            due = periods.delete_by(periods.parse_day(place.day), _LONGEST, _WESTERNMOST)
            yield place, DueDay(place.agreement, "unknown", place.tbl, place.day, 0, due, "UTC")


def _perhaps_due(
    site: OpenSite, terms: Mapping[str, Agreement], places: Iterable[KeyPlace], at: datetime
) -> Iterator[KeyPlace]:
    """All that have expired of these places, and some that no record explains: :func:`days_of` says when those go.

    A day needs no record to say when it must go, and is looked at once for all forces.
    """
    days: dict[tuple[str, ...], bool] = {}
    for place in places:
        agreement = terms.get(place.agreement)
        if agreement is None:
            yield place
        elif place.day == UNDATED:
            bundle = holdings.bundle(site.db, site.vault, place.bundle)
            if bundle is not None:
                counted = agreement.counted_day(place.day, bundle.created, bundle.at)
                if agreement.is_expired(place.tbl, counted, at):
                    yield place
        else:
            key = place[:3]
            if key not in days:
                days[key] = agreement.is_expired(place.tbl, periods.parse_day(place.day), at)
            if days[key]:
                yield place


def _dead_windows(site: OpenSite, terms: dict[str, Agreement], at: datetime) -> Iterator[tuple[str, date]]:
    """The windows whose one-time key is here and that nobody may answer any more."""
    live: defaultdict[str, list[catalogue.RequestWindow]] = defaultdict(list)
    for window in catalogue.live_windows(site.db, site.vault):
        live[window.request].append(window)
    for digest, windows in live.items():
        known = catalogue.request(site.db, site.vault, digest)
        agreement = None if known is None else terms.get(known.agreement)
        if known is None or agreement is None:
            continue
        # A bundle under a version that was replaced is refused, whenever it comes.
        replaced = requests.agreement_of(known.envelope) != agreement.digest
        for window in windows:
            if replaced or at >= requests.window_closes(window.last, known.created, agreement):
                yield digest, window.first
