"""What a made-up extract is like: a frozen scenario, and the arithmetic of who comes on which day.

Everything is a function of the scenario, so it is the same on every machine, and any day can be made alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import polars as pl

from anpr_share.errors import UsageError
from anpr_share.synthetic.draws import chance, mixed
from anpr_share.synthetic.plates import CAPACITY

if TYPE_CHECKING:
    from collections.abc import Iterator

FORCES = 4  # whose private vehicles never meet
STRIDE = FORCES + 2  # and the shared ones, and those that no camera sees
UNSEEN = FORCES + 1
DAY_WEIGHTS = (100, 102, 103, 104, 110, 84, 70)  # Monday to Sunday
UNREADABLE_PER_MILLE = 6
MISREAD_SHARE = 1 / 3  # at most, of the distinct plates


@dataclass(frozen=True)
class Scenario:
    """What a made-up extract is like.

    Attributes:
        seed: everything but the vehicles: who passes which camera when, spellings, misreadings.
        first: the first capture day.
        days: how many days follow one another.
        reads_per_day: the mean; weekends have fewer.
        distinct: distinct plates for each read with a whole plate, 0.01 to 1.
        cameras: how many cameras there are.
        misread_rate: the share of reads that are misread, met as far as ``distinct`` lets it.
        messy: whether plates are spelt in several ways and some are missing or partial.
        repeated_hour: whether there are reads in the hour that the clocks repeat (ambiguous in local time).
        zone: the time zone of days and local times.
        world_seed: the vehicles; scenarios of two forces with the same one share vehicles.
        force: 0 to 3, which force this is; forces share no vehicles but the shared ones.
        shared: the share of vehicles that every force of this world sees.
    """

    seed: int = 1
    first: date = date(2026, 10, 19)
    days: int = 7
    reads_per_day: int = 10_000
    distinct: float = 0.25
    cameras: int = 60
    misread_rate: float = 0.03
    messy: bool = True
    repeated_hour: bool = True
    zone: str = "Europe/London"
    world_seed: int = 1
    force: int = 0
    shared: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what cannot be met (UsageError)."""
        for name, least, most in (
            ("days", 1, 3660),
            ("reads_per_day", 1, 1_000_000_000),
            ("distinct", 0.01, 1),
            ("cameras", 1, 1_000_000),
            ("misread_rate", 0, 0.5),
            ("force", 0, FORCES - 1),
            ("shared", 0, 1),
        ):
            if not least <= getattr(self, name) <= most:
                raise UsageError(f"{name} must be from {least} to {most}", hint="change it in the scenario")
        if self.vehicles * STRIDE > CAPACITY:
            raise UsageError(
                f"there are made-up plates for {CAPACITY // STRIDE} vehicles a force, and this needs more",
                hint="take fewer reads a day, fewer days, or a smaller share of distinct plates",
            )

    @property
    def rows(self) -> int:
        """All reads."""
        return self.days * self.reads_per_day

    @property
    def unreadable(self) -> int:
        """The reads without a whole plate."""
        return self.rows * UNREADABLE_PER_MILLE // 1000 if self.messy else 0

    @property
    def plates(self) -> int:
        """The distinct plates, habitual misreadings among them."""
        return max(1, round((self.rows - self.unreadable) * self.distinct))

    @property
    def misreadings(self) -> int:
        """How many vehicles have a habitual misreading."""
        return int(min(self.misread_rate / self.distinct, MISREAD_SHARE) * self.plates)

    @property
    def vehicles(self) -> int:
        """The vehicles that are read at least once."""
        return self.plates - self.misreadings


@dataclass(frozen=True)
class Day:
    """One day's part of the scenario: how many rows, and whose first reads fall on it."""

    number: int
    date: date
    rows: int
    unreadable: int
    vehicles: range
    misreadings: range

    @property
    def repeats(self) -> int:
        """The reads of vehicles and misreadings that are not a first one."""
        return self.rows - self.unreadable - len(self.vehicles) - len(self.misreadings)

    @property
    def weekend(self) -> bool:
        """Whether it is a Saturday or a Sunday."""
        return self.date.weekday() >= 5


def days(scenario: Scenario) -> Iterator[Day]:
    """Yield the days in order; their rows, vehicles and misreadings add up to the scenario's exactly."""
    dates = [scenario.first + timedelta(days=number) for number in range(scenario.days)]
    weights = [DAY_WEIGHTS[day.weekday()] for day in dates]
    readable, done = scenario.rows - scenario.unreadable, 0
    before = (0, 0, 0, 0)
    for number, day in enumerate(dates):
        done += weights[number]
        rows = scenario.rows * done // sum(weights)
        whole = rows - (scenario.unreadable * rows // scenario.rows)
        firsts = scenario.plates * whole // readable
        bad = firsts * scenario.misreadings // scenario.plates
        after = (rows, rows - whole, firsts - bad, bad)
        yield Day(
            number, day, after[0] - before[0], after[1] - before[1], range(before[2], after[2]), range(before[3], bad)
        )
        before = after


def vehicle_numbers(scenario: Scenario, vehicles: pl.Series) -> pl.Series:
    """Return the number in the world (UInt64, for ``plates``) of each of this force's vehicles."""
    vehicle = pl.col("vehicle").cast(pl.UInt64)
    owner = pl.when(is_shared(scenario, vehicle)).then(0).otherwise(1 + scenario.force).cast(pl.UInt64)
    return vehicles.to_frame("vehicle").select(number=vehicle * STRIDE + owner).to_series()


def is_shared(scenario: Scenario, vehicle: pl.Expr) -> pl.Expr:
    """Whether every force of this world sees the vehicle (if it has so many)."""
    return chance(mixed(vehicle, scenario.world_seed, "shared"), scenario.shared)
