"""What is held, what was destroyed, and when it had to be.

The deadline of a day is the earliest of its delete-by under every version of the agreement that was accepted at the
site, of each not before it was accepted (:func:`anpr_share.documents.agreement.deadline`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Final

from anpr_share.audit.case import Case
from anpr_share.audit.findings import DayRecord, DayState, Finding, finding
from anpr_share.periods import LONGEST_WITHOUT_PURGE, PURGE_GRACE
from anpr_share.site.holdings import KeyPlace
from anpr_share.wording import spoken_name


def days(case: Case) -> Iterator[DayRecord]:
    """Every day of a table that was loaded here, and what became of it."""
    keys = frozenset(case.evidence.keys)
    restored = tuple(case.book.about("restored"))
    reached = tuple(accumulate((entry.time for entry in restored), max))
    for bundle in case.evidence.bundles:
        receipt = case.load_receipts.get(bundle.id)
        if bundle.direction != "loaded" or receipt is None:
            continue
        for loaded in (day for item in receipt.loaded for day in item.days if day.rows):
            due = case.due(bundle, loaded.table, loaded.day)
            if due is None:
                continue
            place = KeyPlace(bundle.agreement, loaded.table, loaded.day, bundle.id)
            erased = case.erasures.get((bundle.id, loaded.table, loaded.day))
            reason: object = None
            if place in keys:
                state, entry = _held(case.now, due), None
            elif erased is not None:
                entry, reason = erased, erased.details.get("reason")
                state = "late" if entry.time - due > PURGE_GRACE else "destroyed"
            else:
                # Its key was in the keys.db that the restored site came without.
                number = bisect_left(reached, bundle.at)
                entry = restored[number] if number < len(restored) else None
                state, reason = ("unlogged", None) if entry is None else ("destroyed", "restored")
            yield DayRecord(
                case.site,
                bundle.agreement,
                bundle.partner,
                loaded.table,
                loaded.day,
                bundle.id,
                loaded.rows,
                due,
                state,
                None if entry is None else entry.time,
                reason if isinstance(reason, str) else None,
                None if entry is None else entry.seq,
            )


def _held(now: datetime, due: datetime) -> DayState:
    if now < due:
        return "held"
    return "due" if now - due <= PURGE_GRACE else "overdue"


def findings(case: Case, found: Iterable[DayRecord]) -> Iterator[Finding]:
    """What the rules of retention say of one site."""
    yield from _of_days(case, found)
    yield from _of_keys(case)
    yield from _of_deletions(case)
    yield from _of_windows(case)
    yield from _of_files(case)
    yield from _of_purges(case)
    yield from _of_disk(case)


_OF_STATE: Final[dict[DayState, tuple[str, str]]] = {
    "overdue": ("held-too-long", "held since"),
    "due": ("due-now", "due since"),
    "late": ("destroyed-late", "due on"),
    "unlogged": ("gone-unlogged", "due on"),
}
"""The finding that a state is, and how it is said when the day was due."""


def _of_days(case: Case, found: Iterable[DayRecord]) -> Iterator[Finding]:
    together: defaultdict[tuple[DayState, str, str, str], list[DayRecord]] = defaultdict(list)
    for item in found:
        together[item.state, item.agreement, item.source, item.table].append(item)
    for (state, agreement, source, table), items in sorted(together.items()):
        if state in _OF_STATE:
            code, since = _OF_STATE[state]
            due = min(item.due for item in items)
            text = (
                f"{agreement}: {table} of {source}, {_days([item.day for item in items])}, "
                f"{since} {due:%Y-%m-%d %H:%M} UTC"
            )
            lines = tuple(sorted({item.line for item in items if item.line is not None}))
            yield finding(code, case.site, text, lines)


def _of_keys(case: Case) -> Iterator[Finding]:
    """Keys and data belong together, and both go when an agreement is closed."""
    recorded = {part.place for part in case.evidence.parts}
    bundles = {item.id: item for item in case.evidence.bundles}
    alone = [place for place in case.evidence.keys if place not in recorded or place.bundle not in bundles]
    missing = () if case.evidence.disk is None else case.evidence.disk.missing
    if lost := sorted({*alone, *missing}):
        yield finding("key-without-data", case.site, _places(lost))
    if back := [place for place in case.evidence.keys if (place.bundle, place.tbl, place.day) in case.erasures]:
        seqs = {case.erasures[place.bundle, place.tbl, place.day].seq for place in back}
        text = f"keys that were destroyed are here again: {_places(back)}"
        yield finding("record-altered", case.site, text, tuple(sorted(seqs)))
    closed = [place for place in case.evidence.keys if case.closed(place.agreement) is not None]
    if closed:
        lines = tuple(entry.seq for entry in case.book.about("agreement-closed"))
        yield finding("closed-but-held", case.site, f"keys of {_places(closed)}", lines)
    keys = frozenset(case.evidence.keys)
    restored = case.book.last("restored")
    for bundle, days_ in _by_bundle(place for place in recorded if place not in keys).items():
        known = bundles.get(bundle)
        if known is None or restored is None or known.at > restored:
            text = f"parts of bundle {bundle} are recorded, {_days(days_)}, and their keys are gone"
            yield finding("gone-unlogged", case.site, text)


def _of_deletions(case: Case) -> Iterator[Finding]:
    """What the next receipt will say was destroyed, held against what the ledger says: these records carry no MAC."""
    recorded = {(item.bundle, item.tbl, item.day): item for item in case.evidence.deletions}
    bundles = {item.id: item for item in case.evidence.bundles}
    wrong = set(recorded.keys() ^ case.erasures.keys())
    rows: Counter[int] = Counter()
    for place, item in recorded.items():
        entry, bundle = case.erasures.get(place), bundles.get(item.bundle)
        if entry is None or bundle is None:
            continue
        rows[entry.seq] += item.rows
        if (
            item.reason != entry.details.get("reason")
            or (item.agreement, item.partner) != (bundle.agreement, bundle.partner)
            or not timedelta() <= entry.time - item.at <= PURGE_GRACE
            or (item.receipt is not None and item.receipt not in case.receipts)
        ):
            wrong.add(place)
    # Of a line all of whose days no later line tells of anew.
    days_ = Counter(entry.seq for entry in case.erasures.values())
    for place, entry in case.erasures.items():
        told = entry.details.get("days")
        if isinstance(told, list) and days_[entry.seq] == len(told) and rows[entry.seq] != entry.details.get("rows"):
            wrong.add(place)
    if wrong:
        lines = {case.erasures[place].seq for place in wrong if place in case.erasures}
        text = f"what is recorded as destroyed is not what the ledger says: {_days(day for _, _, day in wrong)}"
        yield finding("record-altered", case.site, text, tuple(sorted(lines)))


def _of_windows(case: Case) -> Iterator[Finding]:
    known = {item.digest: item for item in case.evidence.requests}
    used = {(item.request, item.first.isoformat()) for item in case.evidence.windows if item.state == "used"}
    if back := used & set(case.evidence.onetime):
        text = f"{len(back)} one-time keys of windows that were answered are here again"
        yield finding("record-altered", case.site, text)
    late: Counter[str] = Counter()
    for digest, first in case.evidence.onetime:
        request = case.requests.get(digest)
        agreement = None if request is None else case.in_force(request.agreement_id)
        window = None if request is None else next((w for w in request.windows if w.first.isoformat() == first), None)
        if request is None or agreement is None or window is None:
            yield finding("key-without-data", case.site, "a one-time key belongs to no request that is recorded")
        elif case.now - request.closes(window, agreement) > PURGE_GRACE or case.closed(agreement.id) is not None:
            late[digest] += 1
    for digest, count in late.items():
        text = f"{count} of the request of {known[digest].created:%Y-%m-%d} to {known[digest].partner}"
        yield finding("window-key-too-old", case.site, text)


def _of_files(case: Case) -> Iterator[Finding]:
    """Registered files can be looked for at the site itself alone."""
    if case.evidence.disk is None:
        return
    first_due: dict[tuple[str, str, str], datetime] = {}
    for item in case.evidence.registered:
        due = case.deadline(item.agreement, item.tbl, item.day)
        if item.path in case.evidence.disk.present and due is not None:
            place = (item.agreement, item.kind, item.path)
            first_due[place] = min(due, first_due.get(place, due))
    for (agreement, kind, path), due in first_due.items():
        name = f"{kind} {spoken_name(Path(path))} under {agreement}"
        if case.closed(agreement) is not None:
            yield finding("closed-but-held", case.site, name)
        elif case.now - due > PURGE_GRACE:
            yield finding("extract-too-old", case.site, f"{name}, due on {due:%Y-%m-%d %H:%M} UTC")


def _of_purges(case: Case) -> Iterator[Finding]:
    begun = [entry.time for entry in case.book.about("collection", "alteration")]
    if not begun or not (case.evidence.keys or case.evidence.registered):
        return
    last = case.book.last("purge")
    since = min(begun) if last is None else max(last, min(begun))
    if case.now - since > LONGEST_WITHOUT_PURGE:
        waited = (case.now - since).days
        text = (
            f"none yet, in {waited} days"
            if last is None
            else f"none for {waited} days; the last was on {last:%Y-%m-%d}"
        )
        yield finding("purge-missing", case.site, text)


def _of_disk(case: Case) -> Iterator[Finding]:
    disk = case.evidence.disk
    if disk is None:
        return
    if disk.altered:
        yield finding("part-altered", case.site, _places(disk.altered))
    for name in disk.keyless:
        yield finding("data-without-key", case.site, name)
    for name in disk.unexplained:
        yield finding("file-unexplained", case.site, name)
    if disk.readable:
        yield finding("permissions-weak", case.site, ", ".join(disk.readable))
    for text in disk.faults:
        yield finding("record-altered", case.site, text)


def _by_bundle(places: Iterable[KeyPlace]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for place in places:
        found[place.bundle].append(place.day)
    return dict(sorted(found.items()))


def _places(places: Iterable[KeyPlace]) -> str:
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for place in places:
        found[place.agreement, place.tbl].append(place.day)
    return "; ".join(f"{agreement}: {table}, {_days(days_)}" for (agreement, table), days_ in sorted(found.items()))


def _days(names: Iterable[str]) -> str:
    """``2026-10-01``, or how many days between the first and the last."""
    found = sorted(set(names))
    return found[0] if len(found) == 1 else f"{len(found)} days, {found[0]} to {found[-1]}"
