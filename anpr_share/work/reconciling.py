"""What a force makes of a university's receipts: each is compared with what was exported, and with those before it.

Guarantees: nothing is changed; a receipt is judged by what the university had told up to it, in the order in which it
made its receipts, so later ones change nothing of what an earlier one is found to say.

A day may be told destroyed twice in the same words: in the answer to a notice, and in the next receipt for everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from anpr_share.documents import agreement as agreements
from anpr_share.documents import notice as notices
from anpr_share.documents import receipt as receipts
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.manifest import SNAPSHOTS, Quality
from anpr_share.documents.model import validate
from anpr_share.documents.notice import Recall
from anpr_share.documents.receipt import Deleted, Loaded, Receipt
from anpr_share.errors import FormatError
from anpr_share.periods import PURGE_GRACE, UNDATED
from anpr_share.site import catalogue, holdings
from anpr_share.site.holdings import Bundle
from anpr_share.site.opened import OpenSite


class _Place(NamedTuple):
    bundle: str
    table: str
    day: str

    def __str__(self) -> str:
        what = f"{self.table} of {self.day}" if self.day != UNDATED else f"the {self.table} in it"
        return f"bundle {self.bundle}: {what}"


class _Arrival(NamedTuple):
    """Rows of a place that went into the university's store, and when."""

    rows: int
    at: datetime


def sent_rows(bundle: Bundle) -> dict[tuple[str, str], int]:
    """How many rows of each table and day an exported bundle holds."""
    if bundle.quality is None:
        raise FormatError(
            "the quality record of an exported bundle is missing here", hint="restore site.db from a backup"
        )
    sent: dict[tuple[str, str], int] = {}
    for table in validate(Quality, bundle.quality, "quality record").tables:
        if table.days:
            sent |= {(table.table, item.day.isoformat()): item.rows for item in table.days if item.rows}
        else:
            sent[table.table, UNDATED] = table.rows_out
    return sent


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What a force knows of one university under one agreement.

    ``bundles`` were exported to it, and ``sent`` has their rows by table and day; ``versions`` of the agreement stand
    with when each was accepted here; ``recalls`` are the notices made for it, by digest, with when each was made;
    ``receipts`` came from it.
    """

    partner: str
    bundles: Mapping[str, Bundle]
    sent: Mapping[str, dict[tuple[str, str], int]]
    versions: tuple[tuple[Agreement, datetime], ...]
    recalls: Mapping[str, tuple[datetime, Recall]]
    receipts: tuple[Receipt, ...]

    @classmethod
    def recorded(cls, site: OpenSite, partner: str, agreement: str) -> Exchanged:
        """Read it from the records of the force."""
        bundles = {
            item.id: item
            for item in holdings.bundles(site.db, site.vault, direction="exported", agreement=agreement)
            if item.partner == partner
        }
        return cls(
            partner,
            bundles,
            {name: sent_rows(item) for name, item in bundles.items()},
            tuple(
                (agreements.parse(item.envelope), item.accepted_at)
                for item in catalogue.agreement_versions(site.db, site.vault, agreement)
            ),
            {
                item.digest: (
                    notices.parse(item.envelope)[0].created,
                    notices.parse_content(item.content).recall,
                )
                for item in holdings.notices(site.db, site.vault, partner=partner, agreement=agreement)
            },
            tuple(
                receipts.parse(item.envelope)[0]
                for item in holdings.receipts(site.db, direction="received", partner=partner)
                if item.agreement == agreement
            ),
        )

    def faults(self, receipt: Receipt) -> tuple[str, ...]:
        """Where a receipt disagrees with this force's records and with the receipts before it, in words."""
        before = [item for item in self.receipts if _order(item) < _order(receipt)]
        arrived: dict[_Place, _Arrival] = {}
        for item in (*before, receipt):
            for loaded in item.loaded:
                for day in loaded.days:
                    place = _Place(loaded.bundle, day.table, day.day)
                    if place.bundle in self.bundles:
                        arrived.setdefault(place, _Arrival(day.rows, loaded.at))
        gone = {_place(deleted): deleted for item in before for deleted in item.deleted}
        faults = [fault for loaded in receipt.loaded for fault in self._of_loaded(receipt, loaded)]
        faults += self._of_deleted(receipt, arrived, gone)
        destroyed = gone.keys() | {_place(deleted) for deleted in receipt.deleted}
        left = {place: item.at for place, item in arrived.items() if item.rows and place not in destroyed}
        faults += self._of_notices(receipt, left)
        if receipt.scope == "all":
            for place, loaded_at in left.items():
                limit = _Limit.of(self, receipt, place, loaded_at)
                if receipt.created > limit.deadline + PURGE_GRACE:
                    faults.append(
                        f"{place} were to be destroyed by {limit.deadline_text}, and are not reported destroyed"
                    )
        return tuple(faults)

    def _of_loaded(self, receipt: Receipt, loaded: Loaded) -> Iterator[str]:
        bundle = self.bundles.get(loaded.bundle)
        if bundle is None:
            yield f"bundle {loaded.bundle} was never exported to {self.partner}"
            return
        if bundle.manifest != loaded.manifest:
            yield f"bundle {loaded.bundle} was loaded with another content than was exported"
            return
        sent = self.sent[loaded.bundle]
        came: Counter[tuple[str, str]] = Counter()
        for day in loaded.days:
            came[day.table, day.day] += day.rows + day.expired
        for table, day_name in sorted(sent.keys() | came.keys()):
            exported, accounted = sent.get((table, day_name), 0), came[table, day_name]
            if exported != accounted:
                yield (
                    f"bundle {loaded.bundle}: {table} of {day_name}: {exported} rows exported, "
                    f"{accounted} accounted for"
                )
        for day in loaded.days:
            place = _Place(loaded.bundle, day.table, day.day)
            if day.expired and place[1:] in sent:
                limit = _Limit.of(self, receipt, place, loaded.at)
                # What is never said to be held is never asked to be destroyed.
                if loaded.at < min(limit.dues) and not self._is_replaced(place):
                    yield (
                        f"{place}: {day.expired} rows were not kept on {limit.text(loaded.at)}, "
                        f"and were due by {limit.text(min(limit.dues))} only"
                    )

    def _is_replaced(self, place: _Place) -> bool:
        """Whether the force had recalled a place, or sent a newer snapshot, so that it need not have been kept."""
        made = self._made(place)
        return any(
            when >= made and recall.table == place.table and place.day in recall.days
            for when, recall in self.recalls.values()
        ) or any(
            place.table in SNAPSHOTS and name != place.bundle and item.created >= made and place[1:] in self.sent[name]
            for name, item in self.bundles.items()
        )

    def _of_deleted(
        self, receipt: Receipt, arrived: Mapping[_Place, _Arrival], before: Mapping[_Place, Deleted]
    ) -> Iterator[str]:
        told = Counter(_place(item) for item in receipt.deleted)
        for item in receipt.deleted:
            place = _place(item)
            if item.bundle not in self.bundles:
                yield f"bundle {item.bundle}, of which data were deleted, was never exported to {self.partner}"
                continue
            sent = self.sent[item.bundle].get((item.table, item.day))
            if sent is None:
                yield f"{place} are reported destroyed, and were not in the bundle"
                continue
            arrival = arrived.get(place)
            if item.rows > sent or (arrival is not None and item.rows != arrival.rows):
                loaded = f"{sent} rows exported" if arrival is None else f"{arrival.rows} rows loaded"
                yield f"{place}: {loaded}, {item.rows} destroyed"
            limit = _Limit.of(self, receipt, place, None if arrival is None else arrival.at)
            if item.reason == "expired" and item.due not in limit.dues:
                yield (
                    f"{place} were due by {limit.text(min(limit.dues))} under the agreement, "
                    f"and by {limit.text(item.due)} as the receipt says"
                )
            if item.at > limit.deadline + PURGE_GRACE:
                yield f"{place} were destroyed late: due by {limit.deadline_text}, on {limit.text(item.at)}"
            if item.at > receipt.created:
                yield f"{place} were destroyed after the receipt was made that says so"
            if told[place] > 1 or before.get(place, item) != item:
                yield f"{place} are reported destroyed twice"
            if item.reason == "recalled" and not any(
                recall.table == item.table and item.day in recall.days for _, recall in self.recalls.values()
            ):
                yield f"{place} were destroyed as recalled, and were never recalled here"

    def _of_notices(self, receipt: Receipt, left: Mapping[_Place, datetime]) -> Iterator[str]:
        for answered in receipt.notices:
            made, recall = self.recalls.get(answered.notice, (None, None))
            if made is None or recall is None:
                yield f"notice {answered.notice[:16]} was never made for {self.partner}"
                continue
            for place in left:
                # What is sent in the very second of the notice may be the correction.
                if place.table == recall.table and place.day in recall.days and self._made(place) < made:
                    yield f"{place} were recalled by notice {answered.notice[:16]}, and are not reported destroyed"

    def _made(self, place: _Place) -> datetime:
        return self.bundles[place.bundle].created


@dataclass(frozen=True, slots=True)
class _Limit:
    """By when a place was to be destroyed. ``dues`` are its delete-by under each version of the agreement up to the one
    that a receipt names; the ``deadline`` is the shortest, but none counts before its version was accepted here.
    """

    dues: frozenset[datetime]
    deadline: datetime
    zone: ZoneInfo

    @classmethod
    def of(cls, ours: Exchanged, receipt: Receipt, place: _Place, loaded: datetime | None) -> _Limit:
        last = next(item.terms.version for item, _ in ours.versions if item.digest == receipt.agreement)
        versions = [(item, accepted) for item, accepted in ours.versions if item.terms.version <= last]
        created, newest = ours.bundles[place.bundle].created, ours.versions[-1][0]
        day = newest.counted_day(place.day, created, loaded or created)  # no version changes the time zone
        return cls(
            frozenset(item.delete_by(place.table, day) for item, _ in versions),
            agreements.deadline(versions, place.table, day),
            newest.zone,
        )

    @property
    def deadline_text(self) -> str:
        """The deadline as a day in the agreement's time zone."""
        return self.text(self.deadline)

    def text(self, moment: datetime) -> str:
        """A moment as a day in the agreement's time zone."""
        return f"{moment.astimezone(self.zone):%Y-%m-%d}"


def _place(item: Deleted) -> _Place:
    return _Place(item.bundle, item.table, item.day)


def _order(receipt: Receipt) -> tuple[datetime, int]:
    """Where a receipt stands among those of its sender, whose ledger has grown from each to the next."""
    return receipt.created, receipt.head.seq
