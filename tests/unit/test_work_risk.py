"""A look at disclosure risk sees the very reads that an export would let out, and leaves nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from anpr_share.documents.draft import draft_toml
from anpr_share.errors import InputError, LockedError, PolicyError, UsageError, VerificationError
from anpr_share.parquet import write_part
from anpr_share.periods import Now
from anpr_share.risk.figures import RiskResult
from anpr_share.synthetic import PLAIN_PROFILE, Scenario, write_reads_csv
from anpr_share.tables.extract import Input
from anpr_share.tables.profile import load_profile, parse_profile
from anpr_share.work import minimising, risk
from tests.support.exchange import AGREEMENT, DAYS, LANCS, NOW, READS, WYP, Read, World, reads_input, silent


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that must be empty in the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def look(world: World, reads: Sequence[Read] = READS, basis: risk.Basis | None = None, **options: Any) -> RiskResult:
    source = reads_input(world.free("reads.csv"), reads)
    basis = basis or risk.of_site(world.lancs, AGREEMENT)
    return risk.look(basis, source, progress=silent, per_second=1e6, **options)


def by_file(world: World, **changes: object) -> risk.Basis:
    return risk.of_file(world.signed(**changes).envelope.encode(), NOW)


def many(vehicles: int = 400, each: int = 3) -> list[Read]:
    """Reads of so many vehicles, each at other minutes of one day."""
    plates = [
        f"A{chr(66 + n // 20 % 20)}12{chr(66 + n // 400)}C{'ABCDEFGHJKLMNOPRSTUV'[n % 20]}" for n in range(vehicles)
    ]
    return [
        (plate, f"CAM-{turn}", f"2026-10-01T{10 + turn}:{n % 60:02d}:00Z")
        for n, plate in enumerate(plates)
        for turn in range(each)
    ]


def test_the_reads_are_those_that_pass_the_checks_as_the_agreement_tells_them(world: World, temporary: Path) -> None:
    result = look(world)

    found = result.release
    assert (found.reads, found.vehicles, found.cameras, found.days) == (6, 3, 3, 3)
    assert (found.first, found.last) == (DAYS[0], DAYS[-1])
    assert [curve.resolution for curve in found.curves] == ["1m", "15m", "1h", "1d"]
    assert found.curves[0].four.share == 1
    assert (result.agreement, result.version, result.signed, result.ceiling) == (AGREEMENT, 1, True, None)
    assert (result.columns, result.resolution, result.sample) == (("vehicle", "camera", "captured_at"), "1m", "1")
    assert result.notes == ("1 of 7 rows would not be released: 1 vrm-partial",)
    assert result.key.minutes == pytest.approx(result.key.plates / 6e7)


def test_a_sample_has_the_very_vehicles_that_an_export_has(world: World, temporary: Path, tmp_path: Path) -> None:
    world.agree(id="half", reads__sample="0.5")
    reads = many()
    request = world.request(agreement="half")
    bundle = world.export(request, reads)
    tokens = set(world.forge(bundle).frame("reads", "2026-10-01")["vehicle"])
    basis = risk.of_site(world.lancs, "half")
    source = reads_input(world.free("reads.csv"), reads)

    rows, notes = risk._released(basis, source, tmp_path, silent, 1_000)

    assert set(rows["vehicle"].to_list()) == {int(token[:16], 16) for token in tokens}
    assert 150 < len(tokens) < 250
    assert len(notes) == 2  # what stays, and that an export keeps targets


def test_without_a_site_a_sample_is_another_one_and_that_is_said(world: World, temporary: Path) -> None:
    result = look(world, many(), by_file(world, reads__sample="0.5"))

    assert 150 < result.release.vehicles < 250
    assert "the sample is drawn with a key made for this look: an export has other vehicles, as many" in result.notes
    assert result.released is None


def test_an_agreement_may_be_a_draft_or_signed_by_some_or_all(world: World, temporary: Path) -> None:
    parties = [world.site(name).identity for name in (LANCS, "leeds-university")]
    text = draft_toml(parties, NOW.date(), None)
    for name in ("id", "title", "purpose", "legal_basis"):
        text = text.replace(f'\n{name} = ""', f'\n{name} = "a-study"')
    signed = world.signed()
    partly = replace(signed.envelope, signatures=signed.envelope.signatures[:1])

    told = [
        look(world, basis=risk.of_file(data, NOW))
        for data in (text.encode(), partly.encode(), signed.envelope.encode())
    ]

    assert [(it.agreement, it.signed) for it in told] == [("a-study", False), (AGREEMENT, False), (AGREEMENT, True)]
    assert len({it.release for it in told}) == 1


def test_a_signature_that_is_none_is_refused(world: World) -> None:
    signed = world.signed()
    forged = replace(signed.envelope, signatures=(replace(signed.envelope.signatures[0], value=bytes(64)),))

    with pytest.raises(VerificationError):
        risk.of_file(forged.encode(), NOW)


def test_days_that_pass_one_by_one_are_told_to_be_above_the_ceiling_together(world: World, temporary: Path) -> None:
    world.agree(id="capped", risk={"unicity4_max": "0.2"}, reads__resolution="1h")
    # Sixteen vehicles in each of sixteen hours, on either day, and no two in the same hours of both.
    hours = [(n % 16, n // 16) for n in range(256)]
    reads = [
        (plate, "CAM-1", f"{day}T{hour + 4:02d}:00:00Z")
        for (plate, _, _), both in zip(many(256, 1), hours, strict=True)
        for day, hour in zip(DAYS, both, strict=False)
    ]
    world.export(world.request(DAYS[0], DAYS[0], agreement="capped"), reads)

    result = look(world, reads, risk.of_site(world.lancs, "capped"))

    assert (result.over_ceiling, result.so_far is None) == (False, False)
    assert any("with what was released before it is above" in note for note in result.notes)


def test_what_was_released_before_counts_in_what_is_released_so_far(world: World, temporary: Path) -> None:
    world.export(world.request(DAYS[0], DAYS[1]))

    result = look(world)

    assert result.released is not None
    assert (result.released.bundles, result.released.days, result.released.days_here) == (1, 2, 2)
    assert (result.release.reads, result.release.first) == (1, DAYS[2])
    assert result.so_far is not None
    assert (result.so_far.reads, result.so_far.first, result.so_far.last) == (6, DAYS[0], DAYS[2])


def test_released_days_that_are_not_in_the_extracts_are_missed(world: World, temporary: Path) -> None:
    world.export(world.request(DAYS[0], DAYS[1]))

    result = look(world, READS[-1:])

    assert result.released is not None
    assert (result.released.days, result.released.days_here, result.so_far) == (2, 0, None)
    (note,) = result.notes
    assert note == (
        "of 2 days that left before, these extracts have no read: give those extracts too, and they count in what was "
        "released so far"
    )


def test_a_day_of_which_every_row_was_rejected_was_not_released(world: World, temporary: Path) -> None:
    rejected = next(row for row in READS if "?" in row[0])
    world.export(world.request(DAYS[0], DAYS[1]), [*READS[:3], rejected])

    result = look(world)

    assert result.released is not None
    assert (result.released.days, result.released.days_here) == (1, 1)
    assert result.release.first == DAYS[1]


def test_where_every_day_was_released_the_release_is_all_of_it(world: World, temporary: Path) -> None:
    world.export()

    result = look(world)

    assert (result.release.reads, result.so_far) == (6, None)


def test_reads_that_need_an_authority_are_looked_at_and_counted(world: World, temporary: Path) -> None:
    basis = replace(by_file(world), now=days_later(100))

    result = look(world, basis=basis)

    assert result.release.reads == 6
    assert any(
        note.startswith("6 of the reads would leave only with an authority (authority_after in the agreement)")
        for note in result.notes
    )


def days_later(days: int) -> Now:
    return Now(NOW + timedelta(days=days), leapt=False)


def test_where_all_has_expired_there_is_nothing_to_look_at(world: World, temporary: Path) -> None:
    with pytest.raises(PolicyError, match="no row is left: 6 expired, 1 vrm-partial"):
        look(world, basis=replace(by_file(world), now=days_later(400)))


def test_more_reads_than_fit_in_memory_are_refused_with_a_way_out(world: World, temporary: Path) -> None:
    with pytest.raises(InputError, match="more than 5 reads") as caught:
        look(world, most_rows=5)

    assert caught.value.hint is not None
    assert "such as a week" in caught.value.hint


def test_columns_that_seem_swapped_are_refused_as_an_export_refuses_them(world: World, temporary: Path) -> None:
    with pytest.raises(InputError, match="camera"):
        look(world, [(camera, plate, when) for plate, camera, when in many(40)])


def test_what_does_not_fit_in_memory_gives_the_same_figures_and_is_never_in_the_clear(
    world: World, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    basis = by_file(world)
    before = look(world, many(), basis)
    spilled: list[bytes] = []

    def keep(frame: pl.DataFrame, path: Path, key: bytes) -> Any:
        done = write_part(frame, path, key)
        assert path.is_relative_to(temporary)
        spilled.append(path.read_bytes())
        return done

    monkeypatch.setattr(minimising, "write_part", keep)
    monkeypatch.setitem(minimising.ReadsPipeline.__init__.__kwdefaults__ or {}, "buffered_rows", 3)

    after = look(world, many(), basis)

    assert after == before
    assert spilled
    assert all(data[:4] == data[-4:] == b"PARE" for data in spilled)


def test_a_release_above_the_ceiling_is_told(world: World, temporary: Path) -> None:
    over = look(world, basis=by_file(world, risk={"unicity4_max": "0.7"}))
    under = look(world, basis=by_file(world, risk={"unicity4_max": "1"}))

    assert (over.ceiling, over.over_ceiling) == ("0.7", True)
    assert (under.ceiling, under.over_ceiling) == ("1", False)
    assert over.recommendation[0].startswith("least is lost, and the ceiling of 0.7 kept")
    assert under.recommendation[0] == "as agreed it keeps under the ceiling of 1"


def test_columns_beside_the_points_are_told_of(world: World, temporary: Path) -> None:
    columns = ["vehicle", "captured_at", "vehicle_alike", "vrm_family", "confidence"]

    result = look(world, basis=by_file(world, reads__columns=columns))

    assert (result.release.cameras, result.release.by_camera) == (None, None)
    assert (
        result.notes[-1]
        == "what vehicle_alike and confidence tell beside the points is not counted: it adds to the risk"
    )
    assert {it.columns for it in result.choices} == {tuple(columns), tuple(it for it in columns if it != "vrm_family")}


def test_the_k_is_that_of_the_agreements_cameras(world: World, temporary: Path) -> None:
    cameras = {"columns": ["camera", "kind"], "k": 3}

    assert look(world).release.scarce.k == 10
    assert look(world, basis=by_file(world, cameras=cameras)).release.scarce.k == 3


def test_only_a_force_with_the_key_looks_by_id(world: World) -> None:
    with pytest.raises(PolicyError, match="only a force"):
        risk.of_site(world.uni, AGREEMENT)
    with pytest.raises(PolicyError):
        risk.of_site(world.lancs, "another")
    agreement = world.signed(id="keyless")
    for name in (LANCS, WYP):
        world._accept(world.site(name), agreement)
    with pytest.raises(LockedError, match="not at this site"):
        risk.of_site(world.wyp, "keyless")


def test_targets_are_not_reads(world: World) -> None:
    with pytest.raises(UsageError, match="is for targets"):
        risk.look(by_file(world), Input(("nothing.csv",), load_profile("plain-targets")), progress=silent)


def test_a_made_up_week_is_as_crowded_as_it_was_made(world: World, temporary: Path, tmp_path: Path) -> None:
    path, profile = tmp_path / "week.csv", tmp_path / "week.toml"
    scenario = Scenario(first=DAYS[0], days=7, reads_per_day=2_000, cameras=20, repeated_hour=False)
    write_reads_csv(path, scenario)
    profile.write_text(PLAIN_PROFILE, encoding="utf-8")

    found = risk.look(by_file(world), Input((str(path),), parse_profile(PLAIN_PROFILE)), progress=silent).release

    assert (found.days, found.cameras, found.vehicles) == (7, 20, scenario.plates)
    assert found.reads == scenario.rows - scenario.unreadable
    assert sum(1 for _ in found.curves) == 4
