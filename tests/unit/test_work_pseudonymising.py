"""Pseudonymising inside a force: what an export would hold, in one file, under the same rules."""

from __future__ import annotations

import os
import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from anpr_share.errors import InputError, PolicyError, StorageError, UsageError
from anpr_share.site import holdings
from anpr_share.work import pseudonymising
from anpr_share.work.agreements import linkage_key
from tests.support.exchange import AGREEMENT, LANCS, READS, TARGETS, World, reads_input, silent, targets_input


def written(world: World, suffix: str = ".csv", **options: str) -> pseudonymising.PseudonymiseResult:
    source = reads_input(world.free("reads.csv"), READS)
    out = world.free(f"out{suffix}")
    return pseudonymising.pseudonymise(
        world.lancs, source.paths, source.profile, AGREEMENT, out, progress=silent, **options
    )


def read(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    return pl.read_csv(path).with_columns(pl.col("captured_at").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_both_formats_hold_the_same_pseudonymised_rows(world: World, suffix: str) -> None:
    result = written(world, suffix)
    found = read(result.path)
    key = linkage_key(world.lancs, AGREEMENT)
    expected = {
        (
            key.vrm(vrm),
            key.camera(LANCS, [camera]),
            datetime.fromisoformat(at).replace(second=0).astimezone(UTC),
        )
        for vrm, camera, at in READS
        if "?" not in vrm
    }
    assert set(found.iter_rows()) == expected
    assert found.height == result.account.rows_out == 6
    assert found["vehicle"].is_sorted() or found["captured_at"].dt.date().is_sorted()


def test_targets_are_pseudonymised_too(world: World) -> None:
    source = targets_input(world.free("targets.csv"), TARGETS)
    result = pseudonymising.pseudonymise(
        world.lancs, source.paths, source.profile, AGREEMENT, world.free("targets.parquet"), progress=silent
    )
    found = pl.read_parquet(result.path)
    assert found.columns == ["vehicle", "log", "offence", "offence_from", "offence_to"]
    assert (found.height, result.account.withheld) == (2, {"victim": 1})


def test_the_output_is_private_registered_and_logged(world: World) -> None:
    result = written(world, authority="Inspector, decision 17")
    if os.name == "posix":
        assert stat.S_IMODE(result.path.stat().st_mode) == 0o600
    known = {item.kind: item for item in holdings.registered(world.lancs.db, world.lancs.vault)}
    assert known["output"].path == str(result.path.resolve())
    assert known["output"].day == known["extract"].day == date(2026, 10, 1)
    assert result.delete_by == datetime(2027, 9, 30, 23, tzinfo=UTC)
    last = list(world.lancs.ledger.lines())[-1]
    assert (last.event, last.details["authority"], last.details["rows"]) == (
        "alteration",
        "Inspector, decision 17",
        {"reads": 6},
    )


def test_older_reads_stay_without_a_named_authority_and_an_empty_one_is_none(world: World) -> None:
    world.clock.now += timedelta(days=120)
    with pytest.raises(PolicyError, match="needs-authority") as caught:
        written(world)
    assert "--authority REF" in (caught.value.hint or "")
    with pytest.raises(UsageError):
        written(world, authority="")
    with pytest.raises(PolicyError, match="may be a plate"):
        written(world, authority="AB12 CDE")
    assert written(world, authority="Inspector, decision 17").account.rows_out == 6


def test_what_stays_for_want_of_an_authority_is_said(world: World) -> None:
    assert written(world).warnings == ()
    world.clock.now = datetime(2026, 12, 31, 12, tzinfo=UTC)
    result = written(world)
    assert result.account.withheld == {"needs-authority": 5}
    assert result.warnings == ("withheld for want of an authority: 5 reads; --authority REF names one",)


def test_a_university_never_pseudonymises(world: World) -> None:
    source = reads_input(world.free("reads.csv"), READS)
    with pytest.raises(PolicyError, match="only a force"):
        pseudonymising.pseudonymise(
            world.uni, source.paths, source.profile, AGREEMENT, world.free("out.csv"), progress=silent
        )


def test_an_output_that_exists_is_left_alone(world: World) -> None:
    out = world.free("out.csv")
    out.write_text("mine", encoding="utf-8")
    source = reads_input(world.free("reads.csv"), READS)
    with pytest.raises(StorageError, match="already"):
        pseudonymising.pseudonymise(world.lancs, source.paths, source.profile, AGREEMENT, out, progress=silent)
    assert out.read_text(encoding="utf-8") == "mine"


def test_another_suffix_is_refused(world: World) -> None:
    with pytest.raises(UsageError, match="suffix"):
        written(world, ".xlsx")


def test_a_failed_run_leaves_nothing(world: World) -> None:
    before = world.events(LANCS)
    out = world.free("out.csv")
    source = reads_input(world.free("reads.csv"), [("AB?", "CAM-1", "2026-10-01T08:00:10Z")])
    with pytest.raises(InputError):
        pseudonymising.pseudonymise(world.lancs, source.paths, source.profile, AGREEMENT, out, progress=silent)
    assert list(out.parent.iterdir()) == []
    assert list(world.lancs.paths.outbox.glob("*scratch*")) == []
    assert world.events(LANCS) == before
