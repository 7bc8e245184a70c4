"""What was exported and loaded, held against the agreements, the requests, and the rows that it should come to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from anpr_share import periods
from anpr_share.audit.case import Case
from anpr_share.audit.findings import Account, DayRecord, Exchange, Finding, finding
from anpr_share.documents import envelope as dsse
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.manifest import Manifest
from anpr_share.documents.receipt import LoadedDay
from anpr_share.errors import VerificationError
from anpr_share.periods import Duration
from anpr_share.site.holdings import Bundle
from anpr_share.site.ledger import Entry

PATIENCE: Final = timedelta(days=31)
"""How long a university may take to say what became of a bundle, or that it destroyed something."""
NOTICE_PATIENCE: Final = timedelta(days=7)
"""How long it may take to answer a notice: what was found wrong goes without delay."""


def findings(case: Case) -> Iterator[Finding]:
    """What the rules of exchange say of one site."""
    lines = {entry.subject: entry for entry in case.book.about("disclosure", "collection")}
    for bundle in case.evidence.bundles:
        yield from _of_bundle(case, bundle, lines.get(bundle.id))
    known = {bundle.id for bundle in case.evidence.bundles}
    for subject, entry in lines.items():
        if subject not in known:
            text = f"line {entry.seq} tells of bundle {subject}, and no record does"
            yield finding("record-altered", case.site, text, (entry.seq,))
    yield from _of_records(case)
    yield from _of_receipts(case)


def _of_records(case: Case) -> Iterator[Finding]:
    """Receipts and refusals carry no MAC: what they are proved by is the ledger, and a receipt by its signature."""
    made = case.evidence.identity.role == "university"
    lines = {
        str(entry.details.get("receipt")): entry.seq
        for entry in case.book.about("receipt-made" if made else "receipt-accepted")
    }
    for item in case.evidence.receipts:
        receipt = case.receipts.get(item.digest)
        if receipt is None:
            continue  # told of where it was read
        agreement = case.by_digest[receipt.agreement]
        partner = agreement.identity(receipt.recipient if made else receipt.sender)
        said = (item.direction, item.agreement, item.partner)
        if said != ("made" if made else "received", agreement.id, partner.site if partner is not None else None):
            yield finding("record-altered", case.site, f"the receipt of {item.at:%Y-%m-%d} is recorded as another's")
        if item.digest not in lines:
            text = f"the receipt of {item.at:%Y-%m-%d} is recorded, and no line tells of it"
            yield finding("record-altered", case.site, text)
    known = {item.digest for item in case.evidence.receipts}
    if gone := [seq for digest, seq in lines.items() if digest not in known]:
        text = f"{len(gone)} receipts that the ledger tells of are not recorded"
        yield finding("record-altered", case.site, text, tuple(gone))
    told = Counter(
        (entry.subject, *(str(entry.details.get(name)) for name in ("file", "reason", "step")))
        for entry in case.book.about("load-refused")
    )
    recorded = Counter(
        (item.bundle or "unknown", item.file, item.reason, str(item.step)) for item in case.evidence.refusals
    )
    if told != recorded:
        text = "the bundles that were refused are not those that the ledger tells of"
        yield finding("record-altered", case.site, text)


def _of_bundle(case: Case, bundle: Bundle, entry: Entry | None) -> Iterator[Finding]:
    exported = bundle.direction == "exported"
    code = "export-outside" if exported else "load-unverified"
    lines = () if entry is None else (entry.seq,)
    if entry is None or entry.details.get("manifest") != bundle.manifest:
        missing = "export-unlogged" if exported else "load-unverified"
        text = f"bundle {bundle.id} of {bundle.at:%Y-%m-%d}: no line of the ledger tells of it with its manifest"
        yield finding(missing, case.site, text, lines)
    faults = [*_document_faults(case, bundle)]
    found = case.manifests.get(bundle.manifest)
    if found is not None:
        agreement = case.by_digest.get(found[0].agreement)
        if agreement is None:
            faults.append("it names a version of the agreement that was not accepted here")
        else:
            faults += _outside(case, bundle, found[0], agreement)
    for fault in faults:
        yield finding(code, case.site, f"bundle {bundle.id} of {bundle.at:%Y-%m-%d}: {fault}", lines)


def _document_faults(case: Case, bundle: Bundle) -> Iterator[str]:
    """Whether the manifest that is kept is the one that was recorded, and its sender's."""
    found = case.manifests.get(bundle.manifest)
    if found is None:
        yield "its manifest is not recorded"
        return
    manifest, envelope = found
    agreement = case.by_digest.get(manifest.agreement)
    sender = None if agreement is None else agreement.identity(manifest.sender, "police")
    try:
        if sender is None:
            raise VerificationError("its sender is no police party of the agreement")
        dsse.verify(envelope, sender.signing)
    except VerificationError as error:
        yield error.message
    window = (manifest.window.first, manifest.window.last)
    if (manifest.bundle, manifest.request, *window) != (bundle.id, bundle.request, bundle.first, bundle.last):
        yield "its manifest says something else than its record"


def _outside(case: Case, bundle: Bundle, manifest: Manifest, agreement: Agreement) -> Iterator[str]:
    """What the agreement or the request does not allow."""
    terms = agreement.terms
    today = periods.day_of(manifest.created, agreement.zone)
    if not terms.starts <= today <= terms.ends:
        yield f"it was made on {today}, and the agreement runs from {terms.starts} to {terms.ends}"
    for table in manifest.tables:
        if extra := sorted(set(table.columns) - set(agreement.columns(table.name))):
            yield f"{table.name} has columns that are not agreed: {', '.join(extra)}"
        expired = [part.day for part in table.parts if _is_expired(agreement, table.name, part.day, manifest.created)]
        if expired:
            yield f"{table.name} of {min(expired)} had expired"
    request = case.requests.get(manifest.request)
    asked = set() if request is None else {(window.first, window.last) for window in request.windows}
    if (manifest.window.first, manifest.window.last) not in asked:
        yield "its window is none of the request's"
    quality = case.quality.get(bundle.id)
    if terms.authority_after is not None and quality is not None and quality.authority is None:
        limit = Duration.parse(terms.authority_after)
        if old := [
            day for day in _read_days(manifest) if periods.needs_authority(day, manifest.created, limit, agreement.zone)
        ]:
            yield f"reads of {min(old)} needed a named authority"


def _is_expired(agreement: Agreement, table: str, day: str, created: datetime) -> bool:
    return agreement.is_expired(table, agreement.counted_day(day, created, created), created)


def _read_days(manifest: Manifest) -> list[date]:
    return [periods.parse_day(part.day) for table in manifest.tables if table.name == "reads" for part in table.parts]


def _of_receipts(case: Case) -> Iterator[Finding]:
    """A force hears what became of its bundles, and of what was destroyed."""
    told = case.receipts.values()
    answered = {item.bundle for receipt in told for item in receipt.loaded}
    answered |= {item.bundle for receipt in told for item in receipt.refused if item.bundle is not None}
    for bundle in case.evidence.bundles:
        if bundle.direction == "exported" and bundle.id not in answered and case.now - bundle.at > PATIENCE:
            text = f"bundle {bundle.id} of {bundle.at:%Y-%m-%d} for {bundle.partner}"
            yield finding("receipt-missing", case.site, text)
    for item in case.evidence.notices:
        if item.direction == "made" and item.receipt is None and case.now - item.at > NOTICE_PATIENCE:
            text = f"the notice of {item.at:%Y-%m-%d} to {item.partner} under {item.agreement}"
            yield finding("notice-unanswered", case.site, text)
    yield from _unreported(case)


def _unreported(case: Case) -> Iterator[Finding]:
    if case.evidence.identity.role == "university":
        waiting = Counter(
            item.partner for item in case.evidence.deletions if item.receipt is None and case.now - item.at > PATIENCE
        )
        for partner, count in sorted(waiting.items()):
            yield finding("deletion-unreported", case.site, f"{count} deletions of data of {partner}")
        return
    bundles = {item.id: item for item in case.evidence.bundles}
    gone = {(item.bundle, item.table, item.day) for receipt in case.receipts.values() for item in receipt.deleted}
    late: Counter[str] = Counter()
    for item in (loaded for receipt in case.receipts.values() for loaded in receipt.loaded):
        bundle = bundles.get(item.bundle)
        if bundle is None:
            continue
        for day in item.days:
            due = case.due(bundle, day.table, day.day)
            is_told = not day.rows or (item.bundle, day.table, day.day) in gone
            if not is_told and due is not None and case.now - due > PATIENCE:
                late[bundle.partner] += 1
    for partner, count in sorted(late.items()):
        yield finding(
            "deletion-unreported", case.site, f"{partner}: {count} days whose time was up more than a month ago"
        )


def accounts(cases: Sequence[Case], days: Iterable[DayRecord]) -> tuple[Account, ...]:
    """The rows of each table of each bundle that any of these sites knows; ``days`` are those of retention."""
    known: defaultdict[_Place, dict[str, int]] = defaultdict(dict)
    about: dict[str, tuple[str, str, str]] = {}
    lost: Counter[_Place] = Counter()
    for day in days:
        lost[day.bundle, day.table] += day.rows if day.reason == "restored" else 0
    for case in cases:
        for bundle in case.evidence.bundles:
            sent = bundle.direction == "exported"
            ends = (case.site, bundle.partner) if sent else (bundle.partner, case.site)
            about.setdefault(bundle.id, (bundle.agreement, *ends))
        ours = case.evidence.identity.role == "university"
        here = _held_figures(case, lost) if ours else _told_figures(case)
        for place, figures in here.items():
            # What the force itself counted goes before the copy that came with the bundle, and what the university
            # itself did before what it told.
            more = {name: number for name, number in figures.items() if (name == "exported") != ours}
            known[place] = figures | known[place] | more
    return tuple(_account(place, about[place[0]], figures) for place, figures in sorted(known.items()))


_Place = tuple[str, str]
"""A bundle and one of its tables."""


def _exported(case: Case) -> defaultdict[_Place, dict[str, int]]:
    found: defaultdict[_Place, dict[str, int]] = defaultdict(dict)
    for bundle, quality in case.quality.items():
        for table in quality.tables:
            if table.rows_out:
                found[bundle, table.table]["exported"] = table.rows_out
    return found


def _add_loaded(found: dict[_Place, dict[str, int]], bundle: str, days: Iterable[LoadedDay]) -> None:
    for day in days:
        of = found[bundle, day.table]
        of["loaded"] = of.get("loaded", 0) + day.rows
        of["not_kept"] = of.get("not_kept", 0) + day.expired


def _told_figures(case: Case) -> dict[_Place, dict[str, int]]:
    """What a force knows: what it exported, and what receipts told it."""
    found = _exported(case)
    loads = {item.bundle: item for receipt in case.receipts.values() for item in receipt.loaded}
    gone = {(d.bundle, d.table, d.day): d.rows for receipt in case.receipts.values() for d in receipt.deleted}
    for bundle, item in loads.items():
        _add_loaded(found, bundle, item.days)
    for (bundle, table, _), rows in gone.items():
        found[bundle, table]["destroyed"] = found[bundle, table].get("destroyed", 0) + rows
    known = {bundle.id for bundle in case.evidence.bundles}
    return {place: figures for place, figures in found.items() if place[0] in known}


def _held_figures(case: Case, lost: Mapping[_Place, int]) -> dict[_Place, dict[str, int]]:
    """What a university knows: what it loaded, holds, and by its ledger destroyed; a restore lost what it lost."""
    found = _exported(case)
    for bundle, receipt in case.load_receipts.items():
        _add_loaded(found, bundle, (day for item in receipt.loaded for day in item.days))
    keys, live, gone = frozenset(case.evidence.keys), Counter[_Place](), Counter[_Place]()
    for part in case.evidence.parts:
        live[part.bundle, part.tbl] += part.rows if part.place in keys else 0
    for entry in case.book.about("erasure"):
        table, rows = entry.details.get("table"), entry.details.get("rows")
        if isinstance(table, str) and isinstance(rows, int):
            gone[entry.subject, table] += rows
    for place, figures in found.items():
        if "loaded" in figures:
            figures |= {"live": live[place], "destroyed": gone[place] + lost.get(place, 0)}
    return found


def _account(place: _Place, about: tuple[str, str, str], figures: Mapping[str, int]) -> Account:
    exported, loaded, not_kept, live, destroyed = (
        figures.get(name) for name in ("exported", "loaded", "not_kept", "live", "destroyed")
    )
    balanced = True
    if exported is not None and loaded is not None:
        balanced = exported == loaded + (not_kept or 0)
    if loaded is not None and live is not None:
        balanced = balanced and loaded == live + (destroyed or 0)
    return Account(place[0], *about, place[1], exported, loaded, not_kept, live, destroyed, balanced)


_EVENTS: Final = {
    "request-made": "request",
    "disclosure": "export",
    "collection": "load",
    "load-refused": "refusal",
    "receipt-made": "receipt",
    "receipt-accepted": "receipt",
    "notice-made": "notice",
    "notice-applied": "notice",
    "erasure": "destruction",
    "agreement-closed": "close",
}


def order(item: Exchange) -> tuple[datetime, int, str]:
    """For sorting: by time, and within a second in the order in which data move."""
    return item.at, list(_EVENTS.values()).index(item.event), item.site


def timeline(case: Case) -> Iterator[Exchange]:
    """What moved and went, as one site's ledger has it."""
    bundles = {item.id: item for item in case.evidence.bundles}
    for entry in case.book.about(*_EVENTS):
        details = entry.details
        bundle = bundles.get(entry.subject)
        partner = details.get("recipient") or details.get("sender") or (bundle.partner if bundle else None)
        days = details.get("days")
        first, last = (details.get("first"), details.get("last"))
        if isinstance(days, list) and days:
            first, last = min(map(str, days)), max(map(str, days))
        yield Exchange(
            entry.time,
            case.site,
            _EVENTS[entry.event],
            bundle.agreement if bundle else (entry.subject if entry.subject in case.versions else None),
            partner if isinstance(partner, str) else None,
            bundle.id if bundle else None,
            _day(first),
            _day(last),
            _rows(details.get("rows")),
            entry.seq,
        )


def _day(value: object) -> date | None:
    try:
        return periods.parse_day(value) if isinstance(value, str) else None
    except VerificationError:
        return None


def _rows(value: object) -> int | None:
    if isinstance(value, dict):
        return sum(number for number in value.values() if isinstance(number, int))
    return value if isinstance(value, int) else None


def unbalanced(found: Iterable[Account]) -> Iterator[Finding]:
    """The accounts that do not add up, as findings of the university that holds the data."""
    for item in found:
        if not item.balanced:
            text = (
                f"bundle {item.bundle}, {item.table}: exported {_figure(item.exported)}; "
                f"loaded {_figure(item.loaded)}, not kept {_figure(item.not_kept)}; "
                f"live {_figure(item.live)}, destroyed {_figure(item.destroyed)}"
            )
            yield finding("rows-unaccounted", item.recipient, text)


def _figure(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"
