"""A feasibility check over files: a planted answer, reads that do not count, and extracts that cannot be used."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.errors import InputError, UsageError
from anpr_share.feasibility.figures import FeasibilityResult
from anpr_share.feasibility.race import LONGEST
from anpr_share.tables import blocks
from anpr_share.tables.extract import Input
from anpr_share.tables.profile import load_profile, parse_profile
from anpr_share.vrm import canonicalise_series
from anpr_share.work import feasibility
from anpr_share.work.feasibility import check, vehicle_numbers
from tests.support.exchange import silent

NOW = datetime(2026, 10, 20, 9, tzinfo=UTC)
TARGETS = """
table = "targets"
[feasibility]
offences = ["trafficking"]
vehicles_needed = 2
[columns]
vrm = "vrm"
log = "log"
offence = "offence"
person_category = "person"
[columns.offence_from]
columns = ["begin"]
format = "%Y-%m-%d"
[columns.offence_to]
columns = ["end"]
format = "%Y-%m-%d"
"""
HEADER = "vrm,log,offence,person,begin,end\n"
READS_HEADER = "vrm,camera,captured_at,confidence\n"
IN_TIME = "trafficking,convicted,2026-05-01,2026-06-30"
PLANTED = f"""\
AB12CDE,L1,{IN_TIME}
FG34 hjk;A1,L2,Trafficking,convicted,2026-05-01,2026-06-30
LM56NOP,L3,theft,convicted,2026-05-01,2026-06-30
LM56NOP,L4,trafficking,suspect,2026-05-01,2026-06-30
,L5,{IN_TIME}
QR?8STU,L6,{IN_TIME}
VW90XYA,L7,trafficking,victim,2026-05-01,2026-06-30
BC12DEF,L8,trafficking,convicted,2019-05-01,2020-06-30
GH34JKL,L9,{IN_TIME}
MN56PQR,L10,{IN_TIME}
ST78UVW,L11,trafficking,convicted,yesterday,2026-06-30
"""
SEEN = """\
ab i2 cde,CAM-1,2026-05-02T10:00:00Z,90
AB12CDE,CAM-2,2026-09-02T10:00:00Z,90
FG34HJK,CAM-1,2026-09-03T23:30:00Z,90
FG34HJK,CAM-1,2026-09-04T00:30:00Z,90
A1,CAM-1,2026-09-03T10:00:00Z,90
GH34JKL,CAM-1,2025-10-20T10:00:00Z,90
GH34JKL,CAM-1,2025-10-20T22:59:59Z,90
MN56PQR,,2026-09-03T10:00:00Z,90
MN56PQR,CAM-1,yesterday,90
MN56PQR,CAM-1,2026-10-20T09:00:01Z,90
XX99XXX,CAM-1,2026-09-03T10:00:00Z,200
"""


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def targets(folder: Path, rows: str = PLANTED, profile: str = TARGETS) -> Input:
    return Input((write(folder / "targets.csv", HEADER + rows),), parse_profile(profile))


def reads(folder: Path, rows: str = SEEN) -> Input:
    return Input((write(folder / "reads.csv", READS_HEADER + rows),), load_profile("plain-reads"))


def looked_at(given: Input, seen: Input | None = None, now: datetime = NOW) -> FeasibilityResult:
    return check(given, seen, now=now, progress=silent)


def fallen(result: FeasibilityResult) -> dict[str, tuple[int, int]]:
    return {reason.code: (reason.rows, reason.vehicles) for step in result.funnel.steps for reason in step.reasons}


def test_a_planted_answer_comes_out_row_by_row(tmp_path: Path) -> None:
    result = looked_at(targets(tmp_path), reads(tmp_path))

    assert fallen(result) == {
        "date-unreadable": (1, 1),
        "offence-other": (1, 0),
        "nobody-convicted": (2, 2),
        "vrm-missing": (1, 0),
        "vrm-partial": (1, 0),
        "ended-before": (1, 1),
        "expired-only": (1, 1),
        "not-in-reads": (1, 1),
        "too-few-reads": (0, 1),
    }
    assert (result.funnel.rows, result.funnel.vehicles) == (11, 9)
    assert (result.funnel.several, result.funnel.plates) == (1, 2)
    assert result.funnel.eligible == 2
    assert (result.reads, result.expired, result.rejected) == (8, 2, 3)
    assert (result.first, result.last, result.during) == (date(2025, 10, 21), date(2026, 10, 20), 1)
    assert result.base_rate.vehicles == 4
    assert str(result.base_rate.prevalences[0].share) == "1/2"
    assert (result.race.basis, result.race.reads) == ("reads", 4)
    assert (result.race.first_loss, result.verdict.code) == (date(2027, 5, 2), "go")


def test_without_reads_the_steps_over_them_are_not_judged(tmp_path: Path) -> None:
    result = looked_at(targets(tmp_path))

    assert [step.name for step in result.funnel.steps if not step.judged] == ["seen", "often"]
    assert result.funnel.eligible == 5
    assert (result.reads, result.during, result.base_rate.vehicles, result.race.reads) == (None, None, None, None)
    assert (result.verdict.code, result.verdict.conditions) == ("go-if", ("look-at-reads",))


def test_files_batches_and_spellings_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = looked_at(targets(tmp_path), reads(tmp_path))
    lines = SEEN.splitlines(keepends=True)
    several = [write(tmp_path / f"part-{n}.csv", READS_HEADER + "".join(lines[n::3])) for n in range(3)]
    rows = PLANTED.splitlines(keepends=True)
    parts = [write(tmp_path / f"targets-{n}.csv", HEADER + "".join(rows[n::2])) for n in range(2)]
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 64)
    monkeypatch.setattr(feasibility, "MERGED_AT", 1)

    split = looked_at(Input(tuple(parts), parse_profile(TARGETS)), Input(tuple(several), load_profile("plain-reads")))

    assert split == whole


def test_an_extract_in_parquet_is_the_same(tmp_path: Path) -> None:
    whole = looked_at(targets(tmp_path), reads(tmp_path))
    for name in ("targets", "reads"):
        pl.read_csv(tmp_path / f"{name}.csv", infer_schema=False).write_parquet(tmp_path / f"{name}.parquet")

    packed = looked_at(
        Input((str(tmp_path / "targets.parquet"),), parse_profile(TARGETS)),
        Input((str(tmp_path / "reads.parquet"),), load_profile("plain-reads")),
    )

    assert packed == whole


def test_a_later_day_leaves_less(tmp_path: Path) -> None:
    result = looked_at(targets(tmp_path), reads(tmp_path), now=datetime(2027, 9, 2, 12, tzinfo=UTC))

    assert fallen(result)["ended-before"] == (5, 6)
    assert (result.reads, result.expired, result.funnel.eligible) == (9, 4, 0)
    assert result.verdict.code == "stop"


def test_a_step_that_is_not_asked_for_removes_nothing(tmp_path: Path) -> None:
    profile = TARGETS.replace("[feasibility]", '[feasibility]\nsteps = ["often", "whole-vrm"]')

    result = looked_at(targets(tmp_path, profile=profile), reads(tmp_path))

    assert [step.name for step in result.funnel.steps] == ["readable", "often", "whole-vrm"]
    assert set(fallen(result)) == {"date-unreadable", "too-few-reads"}
    assert result.funnel.eligible == result.race.after(0) == 2


def test_reads_before_their_step_are_still_counted_where_it_is_not_asked_for(tmp_path: Path) -> None:
    profile = TARGETS.replace("[feasibility]", '[feasibility]\nsteps = ["offence"]')

    result = looked_at(targets(tmp_path, profile=profile), reads(tmp_path))

    assert result.funnel.eligible == 8
    assert result.race.after(0) == 3  # one read is enough where nobody asks how many there are
    assert str(result.base_rate.prevalences[0].share) == "3/4"


def test_without_dates_nothing_says_when_a_vehicle_goes(tmp_path: Path) -> None:
    profile = TARGETS[: TARGETS.index("[columns.offence_from]")]

    result = looked_at(targets(tmp_path, profile=profile))

    assert set(result.race.left) == {result.funnel.eligible}
    assert len(result.race.left) == LONGEST + 1
    assert "scope-unknown" in result.verdict.conditions


@pytest.mark.parametrize(
    ("given", "seen", "message"),
    [("plain-reads", "plain-reads", "of the targets is for reads"), (None, "plain-targets", "reads is for targets")],
)
def test_a_profile_for_another_table_is_refused(tmp_path: Path, given: str | None, seen: str, message: str) -> None:
    first = targets(tmp_path)
    profile = first.profile if given is None else load_profile(given)

    with pytest.raises(UsageError, match=message):
        looked_at(Input(first.paths, profile), Input(reads(tmp_path).paths, load_profile(seen)))


def test_reads_of_which_none_passes_are_refused_for_a_verdict_on_them_would_be_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of the 1 row of reads passes"):
        looked_at(targets(tmp_path), reads(tmp_path, "AB12CDE,CAM-1,02/05/2026 10:00,90\n"))


def test_swapped_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="swapped"):
        looked_at(targets(tmp_path, f"L1,AB12CDE,{IN_TIME}\n"))
    with pytest.raises(InputError, match="swapped"):
        looked_at(targets(tmp_path), reads(tmp_path, "CAM-1,AB12CDE,2026-05-02T10:00:00Z,90\n"))


def test_a_number_for_each_plate_and_another_for_another() -> None:
    plates = ["AB12CDE", "0AB", "AB", "00AB", "ZZZZZZZZZZ", "1", "A0", "A"]

    found = vehicle_numbers(pl.Series([*plates, None], dtype=pl.String))

    assert found.dtype == pl.Int64
    assert found.to_list()[-1] is None
    assert found.n_unique() == len(plates) + 1
    written = canonicalise_series(pl.Series(["ab 12 cde", "ABI2CDE"]))["vrm"]
    assert vehicle_numbers(written).n_unique() == 1


DAY = date(2026, 6, 1)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(0, 9)), max_size=12),
    st.sets(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=12),
)
def test_read_during_an_offence_is_whoever_has_a_day_of_reads_in_one(
    offences: list[tuple[str, int, int]], days: set[tuple[str, int]]
) -> None:
    found = [(vehicle, DAY + timedelta(a), DAY + timedelta(b) if b else None) for vehicle, a, b in offences]
    eligible = pl.DataFrame(found, {"vehicle": pl.String, "offence_from": pl.Date, "offence_to": pl.Date}, orient="row")
    seen = pl.DataFrame(
        [(vehicle, DAY + timedelta(n), 1) for vehicle, n in days],
        {"vehicle": pl.String, "day": pl.Date, "reads": pl.UInt32},
        orient="row",
    )

    expected = {v for v, a, b in found for other, n in days if v == other and b and a <= DAY + timedelta(n) <= b}

    assert feasibility._during(eligible, seen) == len(expected)


@pytest.mark.parametrize("method", ["join", "join_asof"])
def test_a_vehicle_in_many_rows_that_is_seen_every_day_is_not_each_with_each(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, days, heights = 1_000, 365, [0]
    eligible = pl.select(
        vehicle=pl.repeat("AB12CDE", rows),
        offence_from=pl.lit(DAY) - pl.duration(days=pl.int_range(rows)),
        offence_to=pl.lit(DAY) + pl.duration(days=pl.int_range(rows)),
    )
    seen = pl.select(vehicle=pl.repeat("AB12CDE", days), day=DAY + pl.duration(days=pl.int_range(days)))
    genuine = getattr(pl.DataFrame, method)

    def joined(self: pl.DataFrame, *given: object, **options: object) -> pl.DataFrame:
        found: pl.DataFrame = genuine(self, *given, **options)
        heights.append(found.height)
        return found

    monkeypatch.setattr(pl.DataFrame, method, joined)

    assert feasibility._during(eligible, seen) == 1
    assert max(heights) <= rows
