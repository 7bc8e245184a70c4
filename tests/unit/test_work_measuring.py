"""The disclosure risk of an export: of the very rows that leave, in its quality record, and below the ceiling or not at
all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import polars as pl
import pytest

from anpr_share.documents.manifest import Quality
from anpr_share.documents.model import validate
from anpr_share.errors import PolicyError
from anpr_share.reports.exchange import load_lines
from anpr_share.risk.figures import Estimate, Identified, Unicity
from anpr_share.risk.unicity import UnicitySample
from anpr_share.site import holdings
from anpr_share.tables.extract import open_extract
from anpr_share.vrm import FAMILIES
from anpr_share.work import reading
from anpr_share.work.measuring import disclosure_risk, require_below_ceiling
from anpr_share.work.minimising import ReadsPipeline
from tests.support.exchange import DAYS, World, silent
from tests.support.exchange import refused as bundle_refused
from tests.support.exports import export, refused, written
from tests.unit.test_work_minimising import ALL, pipeline, released, scenario


def brute(rows: pl.DataFrame, known: int) -> float:
    """The mean share of vehicles that are alone with any ``known`` of their points, or with all that they have."""
    traces: dict[str, set[tuple[object, ...]]] = {}
    for vehicle, *point in rows.iter_rows():
        traces.setdefault(vehicle, set()).add(tuple(point))
    shares = []
    for own in traces.values():
        sets = [set(some) for some in combinations(own, min(known, len(own)))]
        shares.append(sum(sum(some <= other for other in traces.values()) == 1 for some in sets) / len(sets))
    return sum(shares) / len(shares)


def quality(world: World) -> Quality:
    bundle = max(holdings.bundles(world.uni.db, world.uni.vault), key=lambda item: item.created)
    assert bundle.quality is not None
    return validate(Quality, bundle.quality, "quality record")


def test_the_record_says_of_the_rows_that_arrive_what_a_brute_force_says(world: World) -> None:
    world.load(world.export())

    found = quality(world).disclosure_risk
    rows = (
        reading.scan(world.uni, "reads", purpose="as it arrived").select("vehicle", "camera", "captured_at").collect()
    )
    assert found is not None
    assert set(found) == {*(f"unicity{p}" for p in range(1, 7)), "low4", "high4", "measured"}
    assert found["measured"] == "3"
    for p in (2, 3, 4, 5, 6):  # no vehicle has more than two points, so there is nothing to draw
        assert float(found[f"unicity{p}"]) == pytest.approx(brute(rows, p), abs=5e-5)
    assert brute(rows, 4) == 1


# Two vehicles that travel together, and one alone; nobody has four reads.
CONVOY = tuple(
    (plate, camera, f"{day}T08:0{minute}:00Z")
    for day in DAYS
    for plate, camera, minute in (("AB12CDE", "CAM-1", 1), ("FG34HJK", "CAM-1", 1), ("LM56NPR", "CAM-2", 2))
)


def test_an_export_above_the_ceiling_is_refused_and_leaves_nothing(world: World) -> None:
    world.agree(id="capped", risk={"unicity4_max": "0.33"})

    error = refused(world, world.request(agreement="capped"), written(world, CONVOY), PolicyError, "")

    assert error.message == ("four reads would single out 33.33% of the vehicles, and the agreement allows 33.00%")
    assert error.hint is not None
    assert "anpr-share risk" in error.hint
    assert world.cli("lancashire-police", "status") in {0, 1}


@pytest.mark.parametrize("ceiling", ["0.34", "1"])
def test_an_export_below_the_ceiling_leaves(world: World, ceiling: str) -> None:
    world.agree(id="capped", risk={"unicity4_max": ceiling})
    out = world.free("bundle.anpr.zip")

    export(world, world.request(agreement="capped"), written(world, CONVOY), out)
    loaded = world.load(out)

    found = quality(world).disclosure_risk
    assert found is not None
    assert found["unicity4"] == "0.3333"
    assert loaded.disclosure_risk == found
    assert "risk: four reads single out 33.3% of the vehicles; so the quality record says" in load_lines(loaded)


def risk(**changes: Estimate) -> Unicity:
    curve = tuple(Identified(p, Estimate(0.9, 0.88, 0.92, 1000), changes.get("known")) for p in range(1, 7))
    return Unicity("1m", 5000, 1000, curve)


@pytest.mark.parametrize(
    ("ceiling", "known", "allowed"),
    [
        ("0.9", None, True),  # at the ceiling is not above it
        ("0.8999", None, False),
        ("0.95", Estimate(0.94, 0.9, 0.97, 50), True),
        ("0.95", Estimate(0.96, 0.9, 0.99, 50), False),  # those with four points count for themselves
    ],
)
def test_the_ceiling_is_exact_and_holds_for_those_known_well_too(
    world: World, ceiling: str, known: Estimate | None, allowed: bool
) -> None:
    figures = disclosure_risk(risk() if known is None else risk(known=known))
    agreement = world.signed(risk={"unicity4_max": ceiling})

    assert figures["unicity4"] == "0.9000"
    assert figures.get("known4") == (None if known is None else f"{known.share:.4f}")
    with contextlib.nullcontext() if allowed else pytest.raises(PolicyError):
        require_below_ceiling(figures, agreement)


def test_without_a_ceiling_everything_may_leave(world: World) -> None:
    require_below_ceiling(disclosure_risk(risk()), world.signed())
    require_below_ceiling(disclosure_risk(risk()), world.signed(risk={"unicity4_max": None}))


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        (None, "the sender has not measured it"),
        ({"unicity3": "0.1"}, "the sender has not measured it"),
        (
            {"unicity4": "0.1", "known4": "0.4"},
            "single out 40.00% of the vehicles seen so often, and the agreement allows 34.00%",
        ),
    ],
)
def test_a_university_refuses_what_its_agreement_forbids(
    world: World, figures: dict[str, str] | None, told: str
) -> None:
    world.agree(id="capped", risk={"unicity4_max": "0.34"})
    out = world.free("bundle.anpr.zip")
    export(world, world.request(agreement="capped"), written(world, CONVOY), out)
    forged = world.forge(out)
    forged.sealed["quality"]["disclosure_risk"] = figures

    error = bundle_refused(world, forged.write(), PolicyError, 7)

    assert told in error.message


COLUMNS = (ALL, ("vehicle", "captured_at"), (*ALL, "vrm_family"))


def measured(made: ReadsPipeline, path: Path, sample: UnicitySample | None) -> Unicity | None:
    made.read(open_extract([path], made._profile, ("vrm", "camera", "captured_at")), silent)
    for _day, frames in made.days():
        for _frame in frames:
            pass
    return None if sample is None else sample.result()


@pytest.mark.parametrize("columns", COLUMNS, ids=["all", "without cameras", "with families"])
@pytest.mark.parametrize("resolution", ["1m", "1d"])
def test_what_is_measured_is_what_is_written_whether_it_fits_in_memory_or_not(
    tmp_path: Path, columns: Sequence[str], resolution: str
) -> None:
    path, profile = scenario(tmp_path, 3000)
    whole, pieces = UnicitySample(resolution, most=10_000), UnicitySample(resolution, most=10_000)
    made = pipeline(tmp_path, columns, resolution=resolution, profile=profile, unicity=whole)
    first = measured(made, path, whole)
    (tmp_path / "small").mkdir()
    small = pipeline(
        tmp_path / "small", columns, resolution=resolution, profile=profile, unicity=pieces, buffered_rows=500
    )
    second = measured(small, path, pieces)

    assert first is not None
    assert second is not None
    assert first.curve == second.curve
    again = pipeline(tmp_path, columns, resolution=resolution, profile=profile)
    again.read(open_extract([path], profile, ("vrm", "camera", "captured_at")), silent)
    written_rows = pl.concat(released(again).values()).select(columns)
    assert first.measured == written_rows["vehicle"].n_unique()
    assert first.curve[0].vehicles.share == pytest.approx(one_point(written_rows), abs=0.03)


def one_point(rows: pl.DataFrame) -> float:
    """The mean share of a vehicle's points at which no other vehicle was."""
    point = [name for name in rows.columns if name != "vehicle"]
    pairs = rows.unique()
    alone = pairs.with_columns(alone=pl.len().over(point) == 1)
    share = alone.group_by("vehicle").agg(pl.col("alone").mean())["alone"].mean()
    assert isinstance(share, float)
    return share


@pytest.mark.parametrize("buffered_rows", [1_000_000, 500])
def test_rows_that_are_only_looked_at_are_those_that_are_written(tmp_path: Path, buffered_rows: int) -> None:
    path, profile = scenario(tmp_path, 2000)
    columns = (*ALL, "vrm_family")

    def made(name: str) -> ReadsPipeline:
        (tmp_path / name).mkdir()
        found = pipeline(tmp_path / name, columns, resolution="1h", profile=profile, buffered_rows=buffered_rows)
        found.read(open_extract([path], profile, ("vrm", "camera", "captured_at")), silent)
        return found

    looked = pl.concat(made("looked").released())
    rows = pl.concat(frame.with_columns(day=pl.lit(day)) for day, frame in released(made("written")).items())

    assert looked.dtypes == [pl.UInt64, pl.Datetime("us", "UTC"), pl.UInt64, pl.UInt8, pl.Date]
    assert looked.columns == ["vehicle", "at", "camera", "kind", "day"]
    families = pl.Series(FAMILIES)
    assert looked["vehicle"].to_list() == [int(token[:16], 16) for token in rows["vehicle"]]
    assert looked["camera"].to_list() == [int(token[:16], 16) for token in rows["camera"]]
    assert looked["at"].to_list() == rows["captured_at"].to_list()
    assert looked["day"].to_list() == rows["day"].to_list()
    assert families.gather(looked["kind"]).to_list() == rows["vrm_family"].to_list()
