"""Rolling deletion lived through day by day: what a researcher sees is what the limit allows, purged or not.

What may be seen is worked out here from the words of rules-v1 alone, without :mod:`anpr_share.periods`.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from unittest import mock
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from anpr_share.documents import keys as document_keys
from anpr_share.errors import PolicyError
from anpr_share.periods import Duration
from anpr_share.site import holdings
from anpr_share.work import purging, reading, requesting
from tests.support.exchange import AGREEMENT, LANCS, ROLES, TARGETS, UNI, WYP, World, swift

LONDON = ZoneInfo("Europe/London")
DAY, WEEK, SECOND = timedelta(days=1), timedelta(days=7), timedelta(seconds=1)
CLOCKS_CHANGE = (date(2027, 10, 31), date(2028, 3, 26), date(2028, 10, 29), date(2029, 3, 25))
ROUND_THE_LEAP_DAY = (date(2028, 2, 28), date(2028, 2, 29), date(2028, 3, 1))
QUARTER = 13

Row = tuple[str, date, datetime]


@dataclass(frozen=True)
class Story:
    """An agreement and the weeks that are lived through from a Monday on.

    Of each 40 nights nobody purges in those of ``idle``. Every ``whole`` days all of the table is looked at, otherwise
    what is oldest of it; every ``late`` days also in the last second before midnight. ``travels`` is for how many days
    the bundles of the second force are on their way.
    """

    reads: str
    first: date
    weeks: int
    ends: date
    idle: range
    whole: int
    late: int
    targets: str | None = None
    travels: int = 0

    @property
    def days(self) -> tuple[date, ...]:
        """Every day after the first, and the one after the last week."""
        return tuple(self.first + n * DAY for n in range(1, 7 * self.weeks + 1))

    def gone_on(self, day: date, retention: str) -> date:
        """The date from whose first moment on, in London, nothing that counts from ``day`` may be there."""
        number = int(retention[1:-1])
        if retention.endswith("D"):
            due = day + number * DAY
        else:
            years, month = divmod(day.month - 1 + number, 12)
            due = _last_that_exists(day.year + years, month + 1, day.day)
        return min(due, self.ends + DAY)


def _last_that_exists(year: int, month: int, day: int) -> date:
    """This date, or the last before it of its month."""
    try:
        return date(year, month, day)
    except ValueError:
        return _last_that_exists(year, month, day - 1)


STORIES = {
    "two years": Story("P12M", date(2027, 9, 6), 104, date(2029, 12, 31), range(8, 40), whole=91, late=28),
    "ninety days": Story("P90D", date(2027, 11, 29), 19, date(2029, 12, 31), range(9, 25), whole=14, late=2),
    "a month, and the end": Story("P1M", date(2027, 12, 27), 15, date(2028, 4, 2), range(13, 34), 7, 1, "P10D", 25),
}


@dataclass(frozen=True)
class Arriving:
    """A bundle on its way, and what is in it."""

    bundle: Path
    rows: list[Row]
    with_targets: bool


@dataclass
class Life:
    """A university and two forces, what was loaded with the date on which it is gone, and how many rows came late."""

    world: World
    story: Story
    loaded: dict[Row, date] = field(default_factory=dict)
    targets: list[date] = field(default_factory=list)
    requests: dict[tuple[str, int], bytes] = field(default_factory=dict)
    late: int = 0

    @property
    def today(self) -> date:
        return self.world.clock.now.astimezone(LONDON).date()

    def at(self, day: date, *, hour: int = 0, before: timedelta = timedelta()) -> None:
        """Set every clock to an hour of a day in London, or some time before it."""
        self.world.clock.now = datetime(day.year, day.month, day.day, hour, tzinfo=LONDON).astimezone(UTC) - before

    def settle(self) -> None:
        """Make the sites and their agreement on the first day."""
        self.at(self.story.first)
        for name, role in ROLES.items():
            self.world.create(name, role)
        changes = {"targets__retention": self.story.targets} if self.story.targets else {"targets": None}
        dates = {"starts": self.story.first.isoformat(), "ends": self.story.ends.isoformat()}
        self.world.agree(**dates, **changes, reads__retention=self.story.reads)

    def export(self, force: str, week: int) -> Arriving:
        """A force answers for a week that is over, now and then with its targets."""
        first = self.story.first + week * WEEK
        rows = [row for n in range(7) for row in reads_of(force, first + n * DAY)]
        extract = [("AB12CDE", "CAM-1", f"{at:%Y-%m-%dT%H:%M:%SZ}") for _, _, at in rows]
        targets = TARGETS[:1] if self.story.targets and force == LANCS and week % 4 == 0 else None
        bundle = self.world.export(self._request(force, week), extract, targets, by=force, window=first)
        return Arriving(bundle, rows, with_targets=targets is not None)

    def load(self, arriving: Arriving) -> None:
        """The university loads a bundle, but for what expired on its way."""
        result = self.world.load(arriving.bundle)
        gone = {row: self.story.gone_on(row[1], self.story.reads) for row in arriving.rows}
        kept = {row: until for row, until in gone.items() if self.today < until}
        assert (result.rows["reads"], result.expired) == (len(kept), len(gone) - len(kept))
        self.late += result.expired
        self.loaded |= kept
        if arriving.with_targets:
            self.targets.append(self.today)

    def _request(self, force: str, week: int) -> bytes:
        """A quarter's request, made when its first week is answered."""
        quarter, ahead = divmod(week, QUARTER)
        if ahead == 0:
            out = self.world.free("request.json")
            first = self.story.first + week * WEEK
            last = min(first + QUARTER * WEEK, self.story.days[-1], self.story.ends) - DAY
            requesting.request(self.world.uni, AGREEMENT, force, first, last, Duration(days=7), out)
            self.requests[force, quarter] = out.read_bytes()
        return self.requests[force, quarter]

    def live(self) -> list[Row]:
        """The reads that may be seen today."""
        today = self.today
        return sorted(row for row, gone in self.loaded.items() if today < gone)

    def live_targets(self) -> list[date]:
        """The days of the targets that may be seen today."""
        limit = self.story.targets or "P1D"
        return [day for day in self.targets if self.today < self.story.gone_on(day, limit)]

    def look(self) -> None:
        """Exactly what may be seen is seen; and past the agreement's end no look is allowed at all."""
        site, expected = self.world.uni, self.live()
        frame = reading.scan(site, "reads", purpose="counting").select("source", "day", "captured_at")
        if self.today > self.story.ends:
            assert expected == []
            with pytest.raises(PolicyError, match="ended"):
                frame.collect()
            return
        if expected and self.today.toordinal() % self.story.whole:
            until = expected[0][1] + 2 * DAY
            frame = frame.filter(pl.col("day") < until)
            assert sorted(frame.collect().rows()) == [row for row in expected if row[1] < until], self.world.clock.now
            return
        assert sorted(frame.collect().rows()) == expected, self.world.clock.now
        coverage = reading.scan(site, "coverage", purpose="counting").collect()
        assert set(zip(coverage["source"], coverage["day"], strict=True)) == {row[:2] for row in expected}
        if self.story.targets:
            linked = reading.link(site, purpose="counting").collect()
            pairs = sorted(zip(linked["captured_at"], linked["target_day"], strict=True))
            assert pairs == sorted((at, day) for _, _, at in expected for day in self.live_targets())

    def purge(self) -> None:
        """Destroy what is due; keys and files are then those of the days within the limit, and no others."""
        purging.purge(self.world.uni)
        allowed = sorted({(source, day.isoformat()) for source, day, _ in self.live()})
        allowed += [(LANCS, "undated") for _ in self.live_targets()]
        sender = {item.id: item.partner for item in holdings.bundles(self.world.uni.db, self.world.uni.vault)}
        store = self.world.root / UNI / "store"
        files = [(sender[path.name[:36]], path.parent.name) for path in store.rglob("*") if path.is_file()]
        keys = [(sender[place.bundle], place.day) for place in holdings.key_places(self.world.uni.db)]
        assert sorted(keys) == sorted(files) == sorted(allowed), self.world.clock.now


def reads_of(force: str, day: date) -> list[Row]:
    """The first and the last minute of a day, and what is between on a day whose clocks change.

    A day has reads of one force, in turn; the days where a rule may go wrong have reads of both.
    """
    if day not in (*CLOCKS_CHANGE, *ROUND_THE_LEAP_DAY) and (day.toordinal() % 2 == 0) != (force == LANCS):
        return []
    first, after = (
        datetime(item.year, item.month, item.day, tzinfo=LONDON).astimezone(UTC) for item in (day, day + DAY)
    )
    between = [first + timedelta(minutes=30 * n) for n in range(1, 5)] if day in CLOCKS_CHANGE else []
    return [(force, day, at) for at in (first, *between, after - timedelta(minutes=1))]


@pytest.fixture
def world() -> Iterator[World]:
    """Nothing yet, in memory where a directory is: thousands of transactions would wait for a disk.

    Public keys are checked once each: a request has many, and is read again for every bundle.
    """
    memory = Path("/dev/shm")
    with (
        swift(),
        mock.patch.object(document_keys, "_encryption_key", functools.cache(document_keys._encryption_key)),
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as root,
        World(Path(root)) as made,
    ):
        yield made


@pytest.mark.parametrize("name", STORIES)
def test_on_every_day_exactly_what_the_limit_allows_is_seen_and_kept(world: World, name: str) -> None:
    life = Life(world, STORIES[name])
    life.settle()
    on_their_way: dict[int, Arriving] = {}
    for number, day in enumerate(life.story.days, 1):
        if number % life.story.late == 0 or day.day == 1 or day - DAY in (*CLOCKS_CHANGE, *ROUND_THE_LEAP_DAY):
            life.at(day, before=SECOND)
            life.look()
        life.at(day)
        life.look()
        if number % 40 not in life.story.idle:
            life.purge()
        life.at(day, hour=9)
        week, weekday = divmod(number, 7)
        # The one answers as soon as its week is over, the other days later.
        if week and weekday in (0, 4) and day <= life.story.ends:
            force, travels = (LANCS, 0) if weekday == 0 else (WYP, life.story.travels)
            on_their_way[number + travels] = life.export(force, week - 1)
        if number in on_their_way and day <= life.story.ends:
            life.load(on_their_way.pop(number))
    life.purge()
    assert (life.late > 0) == (life.story.travels > 0)

    lines = tuple(world.uni.ledger.lines())
    erased = [entry.details for entry in lines if entry.event == "erasure" and entry.details["table"] == "reads"]
    rows = [details["rows"] for details in erased if isinstance(details["rows"], int)]
    assert sum(rows) == len(life.loaded) - len(life.live()) > 0
    world.uni.checkpoint()
    verified = world.uni.ledger.verify(world.uni.signing_key.public, UNI)
    assert (verified.lines, verified.unsigned_tail, verified.out_of_place) == (len(lines), 0, ())
