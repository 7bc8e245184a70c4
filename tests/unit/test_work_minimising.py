"""What leaves of the reads: each token, each time, each count, and nothing of the order in which they came."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.errors import InputError
from anpr_share.periods import Duration, Now, Window
from anpr_share.pseudonyms import LinkageKey, sample_threshold
from anpr_share.risk.unicity import UnicitySample
from anpr_share.synthetic import PLAIN_PROFILE, Scenario, write_reads_csv
from anpr_share.tables.checks import read_times
from anpr_share.tables.extract import Batch
from anpr_share.tables.profile import Profile, parse_profile
from anpr_share.token_tables import CameraTable, PlateTable
from anpr_share.work.accounting import EXPIRED, NEEDS_AUTHORITY, NOT_SAMPLED, OUTSIDE_WINDOW
from anpr_share.work.minimising import ReadsPipeline, ReadsRules, open_reads, withhold_rule
from tests.support.exchange import silent

SECRET = bytes(range(32))
KEY = LinkageKey(SECRET, "msv-2026")
SITE = "lancashire-police"
LONDON = ZoneInfo("Europe/London")
NOW = Now(datetime(2026, 11, 23, 9, tzinfo=UTC), leapt=False)
ALL = ("vehicle", "camera", "captured_at")
PROFILE = """
table = "reads"
[columns]
vrm = "vrm"
camera = ["feed", "camera"]
confidence = "confidence"
[columns.captured_at]
columns = ["captured_at"]
format = "%Y-%m-%dT%H:%M:%S%.f"
timezone = "UTC"
"""

Row = tuple[str, str, str, str]


def pipeline(
    scratch: Path,
    columns: Sequence[str] = ALL,
    *,
    resolution: str = "1s",
    zone: ZoneInfo = LONDON,
    withhold: Callable[[date], str | None] = lambda _day: None,
    sample: str | None = None,
    targets: frozenset[str] = frozenset(),
    profile: Profile | None = None,
    capacity: int = 10_000,
    buffered_rows: int = 1_000_000,
    part_rows: int = 1_000_000,
    unicity: UnicitySample | None = None,
) -> ReadsPipeline:
    rules = ReadsRules(tuple(columns), resolution, zone, NOW, withhold)
    plates = PlateTable(
        KEY,
        alike="vehicle_alike" in columns,
        always=targets,
        sample=None if sample is None else sample_threshold(sample),
        capacity=capacity,
    )
    cameras = CameraTable(KEY, SITE)
    return ReadsPipeline(
        profile or parse_profile(PROFILE),
        rules,
        plates,
        cameras,
        scratch=scratch,
        buffered_rows=buffered_rows,
        part_rows=part_rows,
        unicity=unicity,
    )


def batch(rows: Sequence[Row], columns: Sequence[str] = ALL) -> Batch:
    """Rows of plate, camera, time and confidence."""
    frame = pl.DataFrame(
        [(vrm, "7" if camera else " ", camera, at, sure) for vrm, camera, at, sure in rows],
        schema=dict.fromkeys(("vrm", "feed", "camera", "captured_at", "confidence"), pl.String),
        orient="row",
    ).with_columns(pl.lit(value=False).alias("__ragged__"))
    fields = ("vrm", "camera", "captured_at", *(("confidence",) if "confidence" in columns else ()))
    return Batch(frame, 1, 0, fields)


def released(made: ReadsPipeline) -> dict[date, pl.DataFrame]:
    return {day: pl.concat(frames) for day, frames in made.days()}


def run(scratch: Path, rows: Sequence[Row], columns: Sequence[str] = ALL, **options: object) -> ReadsPipeline:
    made = pipeline(scratch, columns, **options)  # type: ignore[arg-type]
    some = batch(rows, columns)
    made.add(some, read_times(some, parse_profile(PROFILE)))
    return made


def token(field: str, message: bytes) -> str:
    """A token from the standard library alone, as the rules say it."""
    extracted = hmac.digest(bytes(32), SECRET, "sha256")
    field_key = hmac.digest(extracted, f"anpr-share/1/msv-2026/{field}".encode() + b"\x01", "sha256")
    return hmac.new(field_key, message, hashlib.sha256).hexdigest()[:32]


def vehicle(vrm: str) -> str:
    return token("vrm", vrm.encode())


def camera(name: str) -> str:
    return token(f"camera/{SITE}", b"1:7,%d:%b," % (len(name), name.encode()))


R1 = ("AB12 CDE", "CAM-1", "2026-10-01T08:00:10.5", "93")
R2 = ("FG34HJK", "CAM-2", "2026-10-01T08:30:59", "40")
R3 = ("LM56NPR", "CAM-1", "2026-10-02T23:30:00", "")


def test_each_row_leaves_as_tokens_and_a_floored_time(tmp_path: Path) -> None:
    found = released(run(tmp_path, [R1, R2, R3], resolution="1m"))
    assert list(found) == [date(2026, 10, 1), date(2026, 10, 3)]  # 23:30 UTC is the next day in London
    expected = {
        (vehicle("AB12CDE"), camera("CAM-1"), datetime(2026, 10, 1, 8, 0, tzinfo=UTC)),
        (vehicle("FG34HJK"), camera("CAM-2"), datetime(2026, 10, 1, 8, 30, tzinfo=UTC)),
        (vehicle("LM56NPR"), camera("CAM-1"), datetime(2026, 10, 2, 23, 30, tzinfo=UTC)),
    }
    assert set(pl.concat(found.values()).iter_rows()) == expected


def test_optional_columns_are_the_folded_token_the_family_and_a_band_of_confidence(tmp_path: Path) -> None:
    columns = ("vehicle", "captured_at", "vehicle_alike", "vrm_family", "confidence")
    found = pl.concat(released(run(tmp_path, [R1, R2, R3], columns)).values())
    assert found.columns == list(columns)
    rows = {row[0]: row[2:] for row in found.iter_rows()}
    assert rows == {
        vehicle("AB12CDE"): (token("vrm-alike", b"A812C0E"), "current", "90-100"),
        vehicle("FG34HJK"): (token("vrm-alike", b"FG34HJK".translate(bytes.maketrans(b"G", b"6"))), "current", "0-49"),
        vehicle("LM56NPR"): (token("vrm-alike", b"LM56NPR"), "current", None),
    }


@pytest.mark.parametrize(
    ("resolution", "floored"),
    [
        ("1s", datetime(2026, 10, 25, 1, 44, 59, tzinfo=UTC)),
        ("1m", datetime(2026, 10, 25, 1, 44, tzinfo=UTC)),
        ("15m", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
        ("1h", datetime(2026, 10, 25, 1, 0, tzinfo=UTC)),
        ("1d", datetime(2026, 10, 24, 23, 0, tzinfo=UTC)),
    ],
)
def test_times_are_floored_in_the_agreements_zone(tmp_path: Path, resolution: str, floored: datetime) -> None:
    row = ("AB12CDE", "CAM-1", "2026-10-25T01:44:59.999", "")
    (frame,) = released(run(tmp_path, [row], resolution=resolution)).values()
    assert frame["captured_at"].to_list() == [floored]


def test_an_hour_is_floored_by_a_zone_that_is_half_an_hour_off(tmp_path: Path) -> None:
    row = ("AB12CDE", "CAM-1", "2026-10-05T10:40:00", "")  # 16:10 in Kolkata
    (frame,) = released(run(tmp_path, [row], resolution="1h", zone=ZoneInfo("Asia/Kolkata"))).values()
    assert frame["captured_at"].to_list() == [datetime(2026, 10, 5, 10, 30, tzinfo=UTC)]


RULE = withhold_rule(
    zone=LONDON,
    now=NOW,
    retention=Duration.parse("P12M"),
    ends=date(2027, 10, 31),
    window=None,
    authority_after=Duration.parse("P90D"),
)


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        (date(2025, 11, 23), EXPIRED),
        (date(2025, 11, 24), NEEDS_AUTHORITY),
        (date(2026, 8, 25), NEEDS_AUTHORITY),
        (date(2026, 8, 26), None),
        (date(2026, 11, 23), None),
    ],
)
def test_a_day_stays_when_it_is_over_age_or_needs_an_authority(day: date, reason: str | None) -> None:
    assert RULE(day) == reason


def test_what_is_outside_the_window_stays_whatever_its_age() -> None:
    rule = withhold_rule(
        zone=LONDON,
        now=NOW,
        retention=Duration.parse("P12M"),
        ends=date(2027, 10, 31),
        window=Window(date(2026, 10, 1), date(2026, 10, 7)),
        authority_after=None,
    )
    assert [rule(date(2026, 9, 30)), rule(date(2026, 10, 1)), rule(date(2026, 10, 8)), rule(date(2020, 1, 1))] == [
        OUTSIDE_WINDOW,
        None,
        OUTSIDE_WINDOW,
        OUTSIDE_WINDOW,
    ]


def test_every_row_is_counted_once_where_it_went(tmp_path: Path) -> None:
    rows = [
        R1,
        R1,
        ("", "CAM-1", "2026-10-01T08:00:00", ""),
        ("AB1? CDE", "CAM-1", "2026-10-01T08:00:00", ""),
        ("AB12CDE", "", "2026-10-01T08:00:00", ""),
        ("AB12CDE", "CAM-1", "soon", ""),
        ("AB12CDE", "CAM-1", "2030-01-01T00:00:00", ""),
        ("AB12CDE", "CAM-1", "2026-11-01T00:00:00", ""),
        ("1234 AB", "CAM-1", "2026-10-01T08:00:00", ""),
        ("AB 1234", "CAM-1", "2026-10-01T08:00:00", ""),
    ]
    made = run(tmp_path, rows, withhold=lambda day: OUTSIDE_WINDOW if day.month == 11 else None)
    released(made)
    tally = made.tally
    assert (tally.rows_in, tally.rows_out, tally.duplicates, tally.ambiguous) == (10, 4, 1, 1)
    assert dict(tally.rejected) == {
        "vrm-missing": 1,
        "vrm-partial": 1,
        "camera-missing": 1,
        "time-unreadable": 1,
        "time-future": 1,
    }
    assert dict(tally.withheld) == {OUTSIDE_WINDOW: 1}
    assert dict(tally.families) == {"current": 2, "dateless": 2}
    assert dict(tally.day_rows) == {date(2026, 10, 1): 4}
    assert tally.day_rejected[date(2026, 10, 1)] == 3
    assert made.days_seen == {date(2026, 10, 1), date(2026, 11, 1)}


def test_a_sample_keeps_the_vehicles_below_the_rate_and_every_target(tmp_path: Path) -> None:
    plates = [f"{first}{second}12ABC" for first in "ABCDEFGH" for second in "ABCDEFGHJK"]
    rows = [(plate, "CAM-1", "2026-10-01T08:00:00", "") for plate in plates]
    kept = {plate for plate in plates if int(token("sample", plate.encode())[:16], 16) < 2**64 * 3 // 10}
    target = next(plate for plate in plates if plate not in kept)
    made = run(tmp_path, rows, sample="0.3", targets=frozenset({vehicle(target)}))
    (frame,) = released(made).values()
    assert set(frame["vehicle"]) == {vehicle(plate) for plate in kept | {target}}
    assert made.tally.withheld[NOT_SAMPLED] == len(plates) - len(kept) - 1


def test_swapped_columns_stop_the_reading(tmp_path: Path) -> None:
    extract = tmp_path / "reads.csv"
    rows = "".join(f"AB12CDE,CAM-1,AB{number:02}CDE,2026-10-01T08:00:00,\n" for number in range(10, 99))
    extract.write_text("x,feed,vrm,captured_at,confidence\n" + rows, encoding="utf-8")
    swapped = parse_profile(PROFILE.replace('"camera"]', '"vrm"]').replace('vrm = "vrm"', 'vrm = "x"'))
    with pytest.raises(InputError, match="swapped") as caught:
        pipeline(tmp_path / "none", profile=swapped).read(open_reads([str(extract)], swapped, ALL), silent)
    assert "CDE" not in caught.value.message


@given(st.permutations(range(12)))
def test_the_order_of_the_source_leaves_no_trace(order: list[int]) -> None:
    rows = [
        (f"AB1{number % 3}CDE", f"CAM-{number % 4}", f"2026-10-01T08:00:{number * 5:02}", "") for number in range(12)
    ]
    base = pl.concat(released(run(Path(), rows, resolution="1h")).values())
    other = pl.concat(released(run(Path(), [rows[number] for number in order], resolution="1h")).values())
    assert base.equals(other)
    assert base.equals(base.sort(ALL))


def scenario(tmp_path: Path, rows: int) -> tuple[Path, Profile]:
    path = tmp_path / "reads.csv"
    days = 4
    write_reads_csv(path, Scenario(seed=3, first=date(2026, 10, 23), days=days, reads_per_day=rows // days))
    return path, parse_profile(PLAIN_PROFILE)


@pytest.mark.parametrize(
    ("capacity", "buffered_rows", "part_rows"),
    [(900, 1_000_000, 12_000), (10_000, 3_000, 12_000), (10_000, 1_000_000, 1_000)],
)
def test_spilling_and_splitting_change_nothing(
    tmp_path: Path, capacity: int, buffered_rows: int, part_rows: int
) -> None:
    extract, profile = scenario(tmp_path, 12_000)
    plain = pipeline(tmp_path, profile=profile)
    plain.read(open_reads([str(extract)], profile, ALL), silent)
    expected = released(plain)
    small = pipeline(tmp_path, profile=profile, capacity=capacity, buffered_rows=buffered_rows, part_rows=part_rows)
    small.read(open_reads([str(extract)], profile, ALL), silent)
    pieces = {day: list(frames) for day, frames in small.days()}
    assert list(pieces) == list(expected)
    for day, frames in pieces.items():
        assert pl.concat(frames).equals(expected[day])
        assert max(frame.height for frame in frames) <= part_rows
    assert small.tally == plain.tally
    assert [path.name for path in tmp_path.iterdir()] == ["reads.csv"]


def test_spilled_rows_are_encrypted(tmp_path: Path) -> None:
    extract, profile = scenario(tmp_path, 4_000)
    made = pipeline(tmp_path, profile=profile, capacity=300)
    made.read(open_reads([str(extract)], profile, ALL), silent)
    spills = sorted(tmp_path.glob("spill-*"))
    assert spills
    tokens = made._plates.tokens["vehicle"].drop_nulls().to_list()
    content = b"".join(path.read_bytes() for path in spills)
    assert all(path.read_bytes().startswith(b"PARE") for path in spills)
    assert not any(item.encode() in content for item in tokens)
