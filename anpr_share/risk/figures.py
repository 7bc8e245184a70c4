"""The results of a look at disclosure risk: counts and shares, and no name of anything.

A *point* is a place and a time as the release tells them: camera token and time at a resolution (and the kind of plate,
where it is released). A vehicle is *identified* by some of its points if no other vehicle of the release has them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from math import sqrt
from typing import Final

MOST_POINTS: Final = 6
_Z: Final = 1.959963984540054  # of a normal distribution, 95 % lie so many standard deviations around the mean


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share of vehicles, with its 95 % confidence interval (Wilson), of so many that were looked at."""

    share: float
    low: float
    high: float
    of: int


def wilson(hits: int, of: int) -> Estimate:
    """The share ``hits / of`` with its 95 % interval (Wilson, 1927), which holds for shares near 0 and 1 too."""
    if of == 0:
        return Estimate(0.0, 0.0, 1.0, 0)
    share, square = hits / of, _Z * _Z
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = _Z * sqrt(share * (1 - share) / of + square / (4 * of * of)) / (1 + square / of)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Estimate(share, 0.0 if hits == 0 else low, 1.0 if hits == of else high, of)


@dataclass(frozen=True, slots=True)
class Identified:
    """The share of vehicles that ``points`` random points identify.

    ``vehicles``: of all vehicles, one with fewer points gives those that it has. ``known``: of those alone that have so
    many; None if none has.
    """

    points: int
    vehicles: Estimate
    known: Estimate | None

    @property
    def greater(self) -> Estimate:
        """The greater of the two.

        Vehicles that were seen once hide how far the regular ones stand out, so neither figure alone will do.
        """
        return max([self.vehicles, *([self.known] if self.known else [])], key=lambda item: item.share)


@dataclass(frozen=True, slots=True)
class Unicity:
    """Unicity at one resolution, for 1 to `MOST_POINTS` points. ``measured`` vehicles of all were drawn at random."""

    resolution: str
    vehicles: int
    measured: int
    curve: tuple[Identified, ...]

    @property
    def by_four(self) -> Identified:
        """What four points give away."""
        return self.curve[3]

    @property
    def four(self) -> Estimate:
        """What a ceiling is held against: the greater share that four points identify."""
        return self.by_four.greater


@dataclass(frozen=True, slots=True)
class Volume:
    """How far the busiest of the cameras, or of the vehicles, stand out by the number of their reads.

    ``alone`` is how many have a number of reads that no other has: whoever knows the number knows which it is.
    ``outstanding`` is how many have more than ten times the median.
    """

    count: int
    most: int
    median: float
    busiest_share: float
    top_hundredth_share: float
    alone: int
    outstanding: int


@dataclass(frozen=True, slots=True)
class Scarce:
    """Reads with too few vehicles around them: on days, at cameras, and at a camera on a day, with fewer than ``k``."""

    k: int
    days: int
    reads_on_days: int
    cameras: int
    reads_at_cameras: int
    camera_days: int
    reads_on_camera_days: int


@dataclass(frozen=True, slots=True)
class Rejoined:
    """What two releases of these same reads, with unrelated tokens, give away when they are laid side by side.

    ``by_time`` reads have a time that no other read has; ``by_place_and_time`` reads are the only one of their camera
    at their time, which tells once cameras are matched. ``cameras`` are those matched by the times of their reads
    alone. ``vehicles`` have such a read, and ``reads`` is how many reads these have: all of them are joined with it.
    """

    resolution: str
    by_time: int
    by_place_and_time: int
    cameras: int
    vehicles: int
    reads: int


@dataclass(frozen=True, slots=True)
class Scope:
    """One body of reads as they would be released. ``curves`` begin with the agreed resolution, and go coarser."""

    reads: int
    vehicles: int
    cameras: int | None
    days: int
    first: date
    last: date
    curves: tuple[Unicity, ...]
    by_camera: Volume | None
    by_vehicle: Volume
    scarce: Scarce
    rejoined: Rejoined


@dataclass(frozen=True, slots=True)
class Context:
    """What the k rule makes of the cameras' context: ``before`` combinations, ``rare`` cameras in those too rare.

    ``after`` combinations are released, the smallest of ``smallest`` cameras; ``coarser`` cameras lost a column or
    more, ``left_out`` cameras do not leave at all.
    """

    k: int
    cameras: int
    before: int
    rare: int
    after: int
    smallest: int
    coarser: int
    left_out: int


@dataclass(frozen=True, slots=True)
class KeyLoss:
    """What trying all plates costs whoever has the linkage key: on one core of this machine."""

    plates: int
    per_second: float
    minutes: float


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to release: ``agreed`` marks the one agreed.

    ``unicity4`` is as `Unicity.four`, ``of`` the vehicles in the release; ``exposed`` the share of all vehicles of the
    extract that are both in the release and identified by four points.
    """

    resolution: str
    columns: tuple[str, ...]
    sample: str
    agreed: bool
    of: int
    unicity4: float
    low: float
    high: float
    exposed: float


@dataclass(frozen=True, slots=True)
class Released:
    """What was exported under the agreement already: bundles, days, and days of which these extracts have reads."""

    bundles: int
    days: int
    days_here: int


@dataclass(frozen=True, slots=True)
class RiskResult:
    """How identifying a release would be; ``signed`` says whether every party has signed the agreement.

    ``released`` is None where nobody knows, for an agreement in a file. ``release`` are the reads of days not yet
    released (all, if every day was); ``so_far`` these and those released before, None if there is nothing more in it.
    ``ceiling`` is the agreement's, as a decimal text.
    """

    at: datetime
    agreement: str
    version: int
    signed: bool
    columns: tuple[str, ...]
    resolution: str
    sample: str
    ceiling: str | None
    released: Released | None
    release: Scope
    so_far: Scope | None
    context: Context | None
    key: KeyLoss
    choices: tuple[Choice, ...]
    recommendation: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def over_ceiling(self) -> bool:
        """Whether the release is above the agreement's ceiling, and so would be refused."""
        return self.ceiling is not None and above(self.release.curves[0].four.share, self.ceiling)


def rounded(share: float) -> Decimal:
    """A share with four decimals, as a quality record has it."""
    return Decimal(share).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def above(share: float, ceiling: str) -> bool:
    """Whether a share, rounded, is above a ceiling, a decimal text."""
    return rounded(share) > Decimal(ceiling)
