"""Looks at disclosure risk: as they come in practice, and at their ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Final

from anpr_share.risk.figures import (
    Choice,
    Context,
    Estimate,
    Identified,
    KeyLoss,
    Rejoined,
    Released,
    RiskResult,
    Scarce,
    Scope,
    Unicity,
    Volume,
)


def estimate(share: float, of: int) -> Estimate:
    """A share with an interval that looks like one of so many."""
    half = 1.96 * (max(share * (1 - share), 0.001) / max(of, 1)) ** 0.5
    return Estimate(share, max(share - half, 0.0), min(share + half, 1.0), of)


def unicity(resolution: str, shares: Sequence[float], vehicles: int = 184_203, measured: int = 10_000) -> Unicity:
    """A curve; each number of points is had by a third less of the vehicles."""
    curve = tuple(
        Identified(points, estimate(share, measured), estimate(min(share * 1.06, 1.0), int(measured * 0.68**points)))
        for points, share in enumerate(shares, 1)
    )
    return Unicity(resolution, vehicles, measured, curve)


MINUTE: Final = (0.114, 0.612, 0.846, 0.913, 0.934, 0.941)
QUARTER: Final = (0.021, 0.331, 0.664, 0.801, 0.857, 0.879)
HOUR: Final = (0.004, 0.127, 0.402, 0.588, 0.691, 0.748)
DAY: Final = (0.0, 0.0008, 0.0121, 0.049, 0.103, 0.161)


def release() -> Scope:
    """A week of a force."""
    return Scope(
        reads=3_418_276,
        vehicles=184_203,
        cameras=212,
        days=7,
        first=date(2026, 11, 16),
        last=date(2026, 11, 22),
        curves=(unicity("1m", MINUTE), unicity("15m", QUARTER), unicity("1h", HOUR), unicity("1d", DAY)),
        by_camera=Volume(212, 91_344, 12_860.5, 0.0267, 0.0498, 207, 0),
        by_vehicle=Volume(184_203, 1_912, 4.0, 0.00056, 0.118, 391, 6_402),
        scarce=Scarce(10, 0, 0, 1, 6, 14, 77),
        rejoined=Rejoined("1m", 12, 1_204_553, 209, 171_004, 3_377_019),
    )


def usual() -> RiskResult:
    """A release under a signed agreement with a ceiling, after others."""
    one = release()
    so_far = replace(
        one,
        reads=10_912_400,
        vehicles=402_118,
        days=28,
        first=date(2026, 10, 26),
        curves=(
            unicity("1m", (0.102, 0.633, 0.871, 0.938, 0.957, 0.964), vehicles=402_118),
            unicity("15m", (0.018, 0.341, 0.702, 0.846, 0.9, 0.921), vehicles=402_118),
            unicity("1h", (0.003, 0.118, 0.431, 0.639, 0.744, 0.801), vehicles=402_118),
            unicity("1d", (0.0, 0.0005, 0.019, 0.091, 0.182, 0.263), vehicles=402_118),
        ),
        by_camera=Volume(213, 364_902, 51_220.0, 0.0334, 0.0611, 213, 1),
        by_vehicle=Volume(402_118, 7_655, 6.5, 0.0007, 0.131, 817, 15_231),
        scarce=Scarce(10, 1, 9, 2, 13, 55, 301),
        rejoined=Rejoined("1m", 44, 3_861_224, 211, 380_417, 10_781_903),
    )
    return RiskResult(
        at=datetime(2026, 11, 30, 9, 12, tzinfo=UTC),
        agreement="msv-2026",
        version=2,
        signed=True,
        columns=("vehicle", "camera", "captured_at"),
        resolution="1m",
        sample="1",
        ceiling="0.95",
        released=Released(bundles=3, days=21, days_here=21),
        release=one,
        so_far=so_far,
        context=Context(k=10, cameras=212, before=19, rare=23, after=8, smallest=11, coarser=21, left_out=2),
        key=KeyLoss(plates=1_290_000_000, per_second=412_337.4, minutes=52.14),
        choices=(
            Choice("1m", ("vehicle", "camera", "captured_at"), "1", True, 184_203, 0.968, 0.961, 0.974, 0.968),
            Choice("15m", ("vehicle", "camera", "captured_at"), "1", False, 184_203, 0.849, 0.838, 0.859, 0.849),
            Choice("1h", ("vehicle", "camera", "captured_at"), "1", False, 184_203, 0.623, 0.611, 0.635, 0.623),
            Choice("1d", ("vehicle", "camera", "captured_at"), "1", False, 184_203, 0.052, 0.047, 0.057, 0.052),
            Choice("1m", ("vehicle", "captured_at"), "1", False, 184_203, 0.714, 0.703, 0.725, 0.714),
            Choice("1m", ("vehicle", "camera", "captured_at"), "0.05", False, 9_210, 0.971, 0.964, 0.977, 0.0486),
        ),
        recommendation=(
            "times to 15 minutes tell journeys as well for this purpose, and identify a tenth fewer of vehicles",
            "a sample of 0.05 keeps nineteen vehicles in twenty out of every such attack",
        ),
        notes=(
            "10,000 vehicles of each body of reads were drawn at random and measured against all of it",
            "the days 2026-11-16 to 2026-11-22 are not yet released",
        ),
    )


def first() -> RiskResult:
    """The first release of all, under terms that nobody has signed: no ceiling, nothing before, no context."""
    return replace(usual(), signed=False, version=1, ceiling=None, released=None, so_far=None, context=None)


def above() -> RiskResult:
    return replace(usual(), ceiling="0.5")


def no_cameras() -> RiskResult:
    """Without the column of cameras a point is a time alone."""
    one = replace(
        release(),
        cameras=None,
        by_camera=None,
        curves=(unicity("1m", QUARTER), unicity("1h", DAY)),
        scarce=Scarce(10, 0, 0, 0, 0, 0, 0),
        rejoined=Rejoined("1m", 12, 12, 0, 12, 220),
    )
    return replace(first(), columns=("vehicle", "captured_at"), release=one)


def one_vehicle() -> RiskResult:
    """One vehicle, seen once: whoever knows anything knows it."""
    certain = Estimate(1.0, 0.207, 1.0, 1)
    curve = tuple(Identified(points, certain, certain if points == 1 else None) for points in range(1, 7))
    volume = Volume(1, 1, 1.0, 1.0, 1.0, 1, 0)
    one = Scope(
        reads=1,
        vehicles=1,
        cameras=1,
        days=1,
        first=date(2026, 11, 16),
        last=date(2026, 11, 16),
        curves=tuple(Unicity(resolution, 1, 1, curve) for resolution in ("1s", "1m", "15m", "1h", "1d")),
        by_camera=volume,
        by_vehicle=volume,
        scarce=Scarce(10, 1, 1, 1, 1, 1, 1),
        rejoined=Rejoined("1s", 1, 1, 1, 1, 1),
    )
    key = KeyLoss(plates=1_290_000_000, per_second=98_000_000.0, minutes=0.22)
    return replace(first(), resolution="1s", release=one, notes=(), key=key)


def huge() -> RiskResult:
    """A billion reads, and shares that are nearly none or nearly all."""
    nearly = (0.00004, 0.5, 0.99951, 0.99993, 0.999999, 1.0)
    one = replace(
        release(),
        reads=1_000_000_007,
        vehicles=41_000_003,
        cameras=14_009,
        days=366,
        curves=(unicity("1s", nearly, 41_000_003, 100_000), unicity("1d", DAY, 41_000_003, 100_000)),
        by_vehicle=Volume(41_000_003, 987_654_321, 12_345_678.5, 0.98765, 0.99991, 40_999_999, 12_345_679),
    )
    return replace(usual(), release=one, so_far=replace(one, reads=9_999_999_967, days=3_650), resolution="1s")


def hostile() -> RiskResult:
    """Texts that would break a page, and long ones."""
    bad = (
        "<script>alert(1)</script>",
        "\"'><img src=x onerror=alert(1)>",
        "\u202egnp.exe\u202c\u2066hidden",
        "{{ 7 * 7 }} {% raw %} &amp;",
        "x" * 200,
        "</style></td></table></main><h1>",
    )
    found = usual()
    return replace(
        found,
        agreement="<b>msv</b>",
        columns=(*found.columns, bad[0]),
        recommendation=bad,
        notes=bad,
        choices=(replace(found.choices[0], columns=(bad[1], bad[4])), *found.choices[1:]),
    )


STORIES: Final = {
    "usual": usual,
    "first": first,
    "above": above,
    "no-cameras": no_cameras,
    "one-vehicle": one_vehicle,
    "huge": huge,
    "hostile": hostile,
}
