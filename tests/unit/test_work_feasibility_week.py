"""A real week of reads and a made-up log: why each row of the log falls out, told again by code that shares nothing.

The rows are read with csv, plates by the second implementation of the rules, and each row and vehicle is followed.
Skipped where the files are not there: they are not ours to hand on.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from anpr_share.feasibility.figures import FeasibilityResult
from anpr_share.feasibility.suppression import suppress
from anpr_share.tables.extract import Input
from anpr_share.tables.profile import STEPS, parse_profile
from anpr_share.work.feasibility import check
from examples.second_implementation import vrm_1
from tests.support.exchange import silent
from tests.support.suppressing import Table, is_open, spread, told, witnesses
from tests.support.week import READS, READS_PROFILE, TARGETS, TARGETS_PROFILE, needed

LONDON = ZoneInfo("Europe/London")
ENOUGH = 2
TIMES = (
    datetime(2026, 10, 20, 9, tzinfo=UTC),
    datetime(2027, 8, 1, 9, tzinfo=UTC),  # most offences are over by then
    datetime(2027, 10, 5, 9, tzinfo=UTC),  # and some reads have expired
)

pytestmark = needed


@dataclass
class Entry:
    """A plate of a row, or a row without any."""

    row: int
    status: str
    vehicle: str | None
    cells: dict[str, str]
    live: int = 0
    expired: int = 0

    def day(self, column: str) -> date | None:
        text = self.cells[column]
        return datetime.strptime(text, "%d/%m/%Y").replace(tzinfo=UTC).date() if text else None

    def fails(self, step: str, today: date) -> str | None:
        """Why it falls out at a step, on a day; the oldest day kept is the one after the same date a year before."""
        begins, ends = self.day("Offence From"), self.day("Offence To")
        oldest = today.replace(year=today.year - 1) + timedelta(days=1)
        category = self.cells["Person Category"]
        found = {
            "offence": ["offence-missing"] * (not self.cells["Offence Flag"].strip()),
            "convicted": ["nobody-convicted"] * (not self.cells["Conviction Date"] and category != "convicted"),
            "has-vrm": ["vrm-missing"] * (self.status == "missing"),
            "whole-vrm": [f"vrm-{self.status}"] * (self.status in {"partial", "malformed"}),
            "victim": ["victim"] * (category == "victim") + ["category-missing"] * (not category),
            "window": [*self.untimely(begins, ends, oldest, today)],
            "seen": ["expired-only" if self.expired else "not-in-reads"] * (not self.live),
            "often": ["too-few-reads"] * (self.live < ENOUGH),
        }
        return next(iter(found.get(step, [])), None)

    @staticmethod
    def untimely(begins: date | None, ends: date | None, oldest: date, today: date) -> Iterator[str]:
        if begins is None and ends is None:
            yield "dates-missing"
        elif begins is not None and ends is not None and ends < begins:
            yield "dates-reversed"
        elif ends is not None and ends < oldest:
            yield "ended-before"
        elif ends is None and begins is not None and begins < oldest:
            yield "end-unknown"
        elif (begins or ends or today) > today:
            yield "begins-later"


@cache
def canonical(cell: str) -> tuple[str, str | None]:
    status, vrm, _, _ = vrm_1(cell)
    return status, vrm


@cache
def days_of_reads() -> dict[str, list[date]]:
    """The days on which each vehicle was read, by London's clock."""
    found = defaultdict(list)
    with gzip.open(READS, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="|"):
            status, vrm = canonical("" if row["plate"] == "NA" else row["plate"])
            if status == "ok" and vrm is not None and row["device"] != "NA":
                found[vrm].append(datetime.strptime(row["dt"], "%m/%d/%Y - %H:%M:%S").replace(tzinfo=LONDON).date())
    return dict(found)


def entries(today: date) -> list[Entry]:
    found = []
    with TARGETS.open(encoding="cp1252", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            plates = [cell for cell in re.split(r"[;,/\r\n]", row["VRM"]) if cell.strip()] or [""]
            for status, vrm in map(canonical, plates):
                days = days_of_reads().get(vrm or "", [])
                expired = sum(day <= today.replace(year=today.year - 1) for day in days)
                found.append(Entry(number, status, vrm, row, len(days) - expired, expired))
    return found


def fates(entries: Iterable[tuple[object, Entry]], today: date) -> Counter[tuple[str, str | None]]:
    """Where and why each row, or each vehicle, falls out: with the last of its entries."""
    of: dict[object, list[Entry]] = defaultdict(list)
    for key, entry in entries:
        of[key].append(entry)
    told: Counter[tuple[str, str | None]] = Counter()
    for left in of.values():
        for step in STEPS:
            standing = [entry for entry in left if entry.fails(step, today) is None]
            if not standing:
                told[step, left[0].fails(step, today)] += 1
                break
            left[:] = standing
        else:
            told["left", None] += 1
    return told


@pytest.fixture(scope="module", params=TIMES, ids=lambda now: f"{now:%Y-%m-%d}")
def checked(request: pytest.FixtureRequest) -> FeasibilityResult:
    targets = Input((str(TARGETS),), parse_profile(TARGETS_PROFILE))
    reads = Input((str(READS),), parse_profile(READS_PROFILE))
    return check(targets, reads, now=request.param, progress=silent)


def test_each_row_and_each_vehicle_falls_where_and_why_it_is_said(checked: FeasibilityResult) -> None:
    today = checked.at.date()
    found = entries(today)
    rows = fates(((entry.row, entry) for entry in found), today)
    vehicles = fates(((entry.vehicle, entry) for entry in found if entry.vehicle), today)

    funnel = checked.funnel
    told_rows = {(step.name, reason.code): reason.rows for step in funnel.steps for reason in step.reasons}
    told_vehicles = {(step.name, reason.code): reason.vehicles for step in funnel.steps for reason in step.reasons}
    assert +Counter(told_rows) + Counter({("left", None): funnel.steps[-1].rows}) == rows
    assert +Counter(told_vehicles) + Counter({("left", None): funnel.eligible}) == vehicles
    assert (funnel.rows, funnel.vehicles) == (rows.total(), vehicles.total())
    plates = Counter(entry.row for entry in found)
    assert funnel.several == sum(number > 1 for number in plates.values())
    assert funnel.plates == sum(number for number in plates.values() if number > 1)


def test_the_race_is_what_counting_the_reads_of_each_later_day_gives(checked: FeasibilityResult) -> None:
    today = checked.at.date()
    eligible = {
        entry.vehicle
        for entry in entries(today)
        if entry.vehicle and all(entry.fails(step, today) is None for step in STEPS)
    }
    for after in (*range(0, len(checked.race.left), 7), len(checked.race.left) - 1):
        then = today + timedelta(days=after)
        kept = {
            vehicle: sum(day > then.replace(year=then.year - 1) for day in days_of_reads()[vehicle])
            for vehicle in eligible
        }
        assert checked.race.after(after) == sum(number >= ENOUGH for number in kept.values())
        if after == 0:
            assert checked.race.reads == sum(kept.values())


def test_the_reads_and_their_vehicles_are_all_counted(checked: FeasibilityResult) -> None:
    expired = checked.at.date().replace(year=checked.at.year - 1)
    days = days_of_reads()
    with gzip.open(READS, "rt", encoding="utf-8", newline="") as file:
        rows = sum(1 for _ in csv.DictReader(file, delimiter="|"))

    assert checked.reads == sum(map(len, days.values()))
    assert checked.expired == sum(day <= expired for found in days.values() for day in found)
    assert checked.rejected == rows - sum(map(len, days.values()))
    assert checked.base_rate.vehicles == sum(max(found) > expired for found in days.values())


def test_the_later_the_day_the_more_has_gone() -> None:
    """Or the test above would say little: each of these days must have reasons of its own."""
    reasons = [
        {reason for _, reason in fates(((entry.row, entry) for entry in entries(now.date())), now.date())}
        for now in TIMES
    ]

    assert {"not-in-reads", "too-few-reads", "ended-before", "victim", "vrm-partial"} <= reasons[0]
    assert all(len(found) >= 5 for found in reasons)


@pytest.mark.parametrize("now", TIMES, ids=str)
@pytest.mark.parametrize("with_reads", [True, False], ids=["reads", "dates"])
def test_of_the_week_no_small_count_can_be_worked_out_of_what_is_shared(now: datetime, with_reads: bool) -> None:
    targets = Input((str(TARGETS),), parse_profile(TARGETS_PROFILE))
    reads = Input((str(READS),), parse_profile(READS_PROFILE)) if with_reads else None
    result = check(targets, reads, now=now, progress=silent)
    truth = Table.of(result)
    shared = suppress(result)

    published = told(truth, shared)
    hidden = [key for key, count in published.items() if count is None]
    assert not any(count is not None and 0 < count < truth.small for count in published.values())
    assert hidden
    spreads = spread(witnesses(truth))
    assert all(is_open(key, *spreads[key], truth.small, f"after {STEPS[-1]}") for key in hidden)
