"""Ways to release the same reads (resolution, columns, sample), the risk of each, and which to take.

Guarantees: the ways are told in order, the one agreed first; a recommendation says in plain sentences what the figures
say, and never that a release is without risk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import polars as pl

from anpr_share.risk.figures import Choice, Estimate, Identified, Unicity, above, wilson
from anpr_share.risk.scopes import and_coarser, coarsened, measured
from anpr_share.risk.unicity import MOST_MEASURED, Draw, draw
from anpr_share.words import RESOLUTIONS, of_100

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

SMALL_SAMPLE: Final = "0.05"
SAMPLES: Final = 5
"""How many samples are drawn: which vehicles fall into one decides much of what it gives away."""
STILL_MOST: Final = 0.5

_FAMILY, _CAMERA = "vrm_family", "camera"
_NAMES: Final = {_FAMILY: "kind", _CAMERA: "camera"}
"""What agreed columns are called in frames."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What an agreement says of the reads; ``sample`` is a decimal text, or None for all vehicles."""

    columns: tuple[str, ...]
    resolution: str
    sample: str | None
    zone: ZoneInfo


def choices(rows: pl.DataFrame, terms: Terms, curves: Sequence[Unicity]) -> Iterator[Choice]:
    """Each way to release ``rows``, which are at the agreed resolution, as `anpr_share.risk.scopes` says.

    Of a smaller sample several are drawn, apart from one another: the figures are of all of them together, and the
    interval holds that of each. One that none of so few vehicles falls into is left out.

    ``curves`` are the unicity of them, at the agreed resolution and at those that are coarser.
    """
    samples = [terms.sample or "1"]
    if Decimal(samples[0]) > Decimal(SMALL_SAMPLE):
        samples.append(SMALL_SAMPLE)
    known = {(item.resolution, terms.columns, samples[0]): item for item in curves}
    # Which vehicles are drawn does not depend on the columns.
    bodies = {samples[0]: [(rows, draw(rows["vehicle"]))]}
    for sample in samples[1:]:
        some = _samples(rows, Decimal(sample) / Decimal(samples[0]))
        bodies[sample] = [(one, draw(one["vehicle"], most=-(-MOST_MEASURED // len(some)))) for one in some]
    for columns in _columns(terms.columns):
        left_out = [_NAMES[name] for name in terms.columns if name not in columns]
        for sample, drawn in bodies.items():
            kept = [(one.drop(left_out), among) for one, among in drawn]
            for resolution in and_coarser(terms.resolution) if kept else ():
                way = (resolution, columns, sample)
                found = [known[way]] if way in known else [_measured(*each, resolution, terms) for each in kept]
                yield _choice(way, found, agreed=way == (terms.resolution, terms.columns, samples[0]))


def _columns(agreed: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The columns agreed, and those without one that makes vehicles stand out."""
    fewer = [tuple(name for name in agreed if name != left_out) for left_out in (_FAMILY, _CAMERA)]
    return [agreed, *(columns for columns in fewer if columns != agreed)]


def _samples(rows: pl.DataFrame, share: Decimal) -> list[pl.DataFrame]:
    """The rows of some samples of a share of the vehicles, chosen at random, no vehicle in two of them."""
    width = int(share * 2**64)
    lot = pl.col("vehicle").hash(seed=4) // width
    drawn = rows.with_columns(lot=lot).filter(pl.col("lot") < min(SAMPLES, int(1 / share)))
    return drawn.partition_by("lot", include_key=False)


def _measured(rows: pl.DataFrame, among: Draw, resolution: str, terms: Terms) -> Unicity:
    return measured(coarsened(rows, resolution, terms.zone), resolution, among)


def _together(shares: Sequence[Estimate]) -> Estimate:
    """The share of all that several were measured on; its interval holds the share of each: chance sets them apart."""
    hits, of = sum(round(item.share * item.of) for item in shares), sum(item.of for item in shares)
    found, each = wilson(hits, of), [item.share for item in shares]
    return Estimate(found.share, min(found.low, *each), max(found.high, *each), of)


def _choice(way: tuple[str, tuple[str, ...], str], found: Sequence[Unicity], *, agreed: bool) -> Choice:
    resolution, columns, sample = way
    fours = [item.by_four for item in found]
    known = [item.known for item in fours if item.known is not None]
    together = Identified(4, _together([item.vehicles for item in fours]), _together(known) if known else None)
    four = together.greater
    return Choice(
        resolution=resolution,
        columns=columns,
        sample=sample,
        agreed=agreed,
        of=round(sum(item.vehicles for item in found) / len(found)),
        unicity4=four.share,
        low=four.low,
        high=four.high,
        exposed=together.vehicles.share * float(sample),
    )


def recommendation(ways: Sequence[Choice], ceiling: str | None) -> tuple[str, ...]:
    """What these ways say, in sentences: which to take, and what does not help.

    Under a ceiling it is the way that loses least of those that keep under it; without one, that which lowers most how
    many vehicles four reads single out. ``ways`` hold the agreed one; ``ceiling`` is a decimal text.
    """
    agreed = next(way for way in ways if way.agreed)
    # In a sample each vehicle stands out as before, so it is no way under a ceiling.
    whole = [way for way in ways if way.sample == agreed.sample]
    steps = and_coarser(agreed.resolution)
    least_lost = sorted(
        whole, key=lambda way: (_CAMERA not in way.columns, steps.index(way.resolution), -len(way.columns))
    )
    lowest = min(least_lost, key=lambda way: way.unicity4)
    said = []
    if ceiling is not None:
        fitting = [way for way in least_lost if not above(way.unicity4, ceiling)]
        said.append(_under(ceiling, agreed, fitting, lowest))
    elif lowest.unicity4 < agreed.unicity4:
        # Of ways that are told alike that which loses least: chance decides which of them is a little lower.
        alike = (way for way in least_lost if round(way.unicity4, 2) == round(lowest.unicity4, 2))
        way = next(way for way in alike if way is not agreed)
        said.append(f"most is gained {_described(way, agreed)}: four reads then single out {of_100(way.unicity4)}")
    else:
        said.append("no coarser times, and no fewer columns, lower how many vehicles four reads single out")
    return (*said, *_of_coarsening(whole, agreed), *_of_sampling(ways, agreed))


def _under(ceiling: str, agreed: Choice, fitting: Sequence[Choice], lowest: Choice) -> str:
    if agreed in fitting:
        return f"as agreed it keeps under the ceiling of {ceiling}{_near(agreed, ceiling)}"
    if fitting:
        way = fitting[0]
        return (
            f"least is lost, and the ceiling of {ceiling} kept, {_described(way, agreed)}: "
            f"four reads then single out {of_100(way.unicity4)}{_near(way, ceiling)}"
        )
    return (
        f"nothing here keeps under the ceiling of {ceiling}; lowest it is {_described(lowest, agreed)}: "
        f"four reads then single out {of_100(lowest.unicity4)}"
    )


def _near(way: Choice, ceiling: str) -> str:
    """A warning where chance decides whether a way keeps under the ceiling."""
    return f", but the ceiling lies within the interval up to {of_100(way.high)}" if way.high > float(ceiling) else ""


def _described(way: Choice, agreed: Choice) -> str:
    """How a way differs from the one agreed."""
    parts = [f"with times to {RESOLUTIONS[way.resolution]}"] if way.resolution != agreed.resolution else []
    parts += [f"without {name}" for name in agreed.columns if name not in way.columns]
    return " and ".join(parts) or "as agreed"


def _of_coarsening(whole: Sequence[Choice], agreed: Choice) -> list[str]:
    """Whether coarser times alone would do: among few cameras they do, in a country's they do not."""
    coarser = [way for way in whole if way.columns == agreed.columns and way is not agreed]
    if not coarser:
        return []
    best = min(coarser, key=lambda way: way.unicity4)
    text = f"with times to {RESOLUTIONS[best.resolution]} four reads still single out {of_100(best.unicity4)}"
    return [f"coarser times alone do not help: {text}"] if best.unicity4 >= STILL_MOST else []


def _of_sampling(ways: Sequence[Choice], agreed: Choice) -> list[str]:
    """What a smaller sample changes: not how far its vehicles stand out, but how many of all are in it."""
    same = (agreed.resolution, agreed.columns)
    smaller = [way for way in ways if (way.resolution, way.columns) == same and way is not agreed and way.of]
    return [
        f"a sample of {way.sample} does not hide who is in it ({of_100(way.unicity4)}), but few are: of all vehicles "
        f"of the extract it exposes {of_100(way.exposed)}, instead of {of_100(agreed.exposed)}"
        for way in smaller
    ]
