"""Step 8: a part passes only if it is exactly what was agreed, and no part can harm its reader."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from anpr_share import parquet, part_check
from anpr_share.errors import UsageError
from anpr_share.part_check import PartResult, Rewrite
from anpr_share.periods import Window
from tests.support.parts import (
    CAMERA,
    DAY,
    FIRST,
    FRAME,
    KEY,
    LAST,
    LOCAL,
    SCHEMA,
    VEHICLE,
    check,
    check_here,
    job,
    read_part,
    refuse,
)


def test_an_honest_part_passes(tmp_path: Path) -> None:
    assert check(job(tmp_path / "p")) == [PartResult("reads", DAY, 2, None)]


def test_no_jobs_give_no_results() -> None:
    assert check() == []


def test_a_part_without_rows_passes(tmp_path: Path) -> None:
    assert check(job(tmp_path / "p", FRAME.clear())) == [PartResult("reads", DAY, 0, None)]


def test_rows_that_were_not_stated_are_counted(tmp_path: Path) -> None:
    assert check(job(tmp_path / "p", rows=None))[0].rows == 2


def test_a_part_within_a_bundle_is_read_where_it_lies(tmp_path: Path) -> None:
    inner = job(tmp_path / "p")
    content = inner.path.read_bytes()
    bundle = tmp_path / "bundle"
    bundle.write_bytes(b"before" + content + b"after")
    assert check(replace(inner, path=bundle, offset=6, size=len(content)))[0].rows == 2
    refuse("not an encrypted", replace(inner, path=bundle, offset=5, size=len(content)))
    refuse("not an encrypted", replace(inner, path=bundle, offset=6, size=len(content) - 1))
    refuse("cut short", replace(inner, path=bundle, offset=6, size=len(content) + 6))


def test_one_child_serves_all_parts_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children = []
    start = subprocess.Popen

    def counted(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        children.append(start(*arguments, **options))
        return children[-1]

    monkeypatch.setattr(subprocess, "Popen", counted)
    days = [DAY + timedelta(days=shift) for shift in range(4)]
    jobs = [job(tmp_path / str(day), FRAME.with_columns(pl.col("captured_at") + (day - DAY)), day=day) for day in days]
    assert [result.day for result in check(*jobs)] == days
    assert [child.returncode is not None for child in children] == [True]


def test_targets_without_days_pass(tmp_path: Path) -> None:
    columns = ("vehicle", "log", "offence", "convicted_on")
    schema = pl.Schema({name: pl.Date() if name == "convicted_on" else pl.String() for name in columns})
    frame = pl.DataFrame([(VEHICLE, CAMERA, "Burglary", date(2020, 1, 1))], schema=schema, orient="row")
    targets = job(tmp_path / "p", frame, table="targets", day=None, columns=columns, rows=None)
    assert check(targets) == [PartResult("targets", None, 1, None)]
    assert "targets is not" in str(refuse("columns", replace(targets, columns=columns[:3])))


def test_a_rewritten_part_holds_the_same_rows_under_the_local_key(tmp_path: Path) -> None:
    target = tmp_path / "local"
    [result] = check(job(tmp_path / "p", rewrite=Rewrite(target, LOCAL)))
    content = target.read_bytes()
    assert result.written == parquet.PartFile(2, len(content), hashlib.sha256(content).hexdigest())
    assert_frame_equal(read_part(target, LOCAL), FRAME)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["local", "p"]


def test_a_large_part_keeps_its_order(tmp_path: Path) -> None:
    rows = 700_000
    frame = pl.DataFrame({"n": pl.int_range(rows, eager=True)}).select(
        pl.format("{}{}", pl.lit("0" * 12), pl.col("n").cast(pl.String).str.pad_start(20, "0")).alias("vehicle"),
        pl.lit(CAMERA).alias("camera"),
        (pl.lit(FIRST).dt.cast_time_unit("us") + pl.duration(microseconds="n")).alias("captured_at"),
    )
    target = tmp_path / "local"
    assert check(job(tmp_path / "p", frame, rewrite=Rewrite(target, LOCAL)))[0].rows == rows
    assert_frame_equal(read_part(target, LOCAL), frame)
    late = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == rows - 1)
        .then(pl.lit(LAST + timedelta(microseconds=1)).dt.cast_time_unit("us"))
        .otherwise("captured_at")
        .alias("captured_at")
    )
    refuse("times outside its day", job(tmp_path / "late", late))


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_time_one_microsecond_outside_its_day_is_refused(tmp_path: Path, shift: int) -> None:
    instant = (FIRST if shift < 0 else LAST) + timedelta(microseconds=shift)
    frame = pl.concat([FRAME, pl.DataFrame([(VEHICLE, CAMERA, instant)], schema=SCHEMA, orient="row")])
    refuse("reads of 2026-06-10 .*times outside its day", job(tmp_path / "p", frame))


@pytest.mark.parametrize("day", [date(2026, 6, 9), date(2026, 6, 11)])
def test_a_mislabelled_day_is_refused(tmp_path: Path, day: date) -> None:
    refuse("times outside its day", job(tmp_path / "p", day=day))


@pytest.mark.parametrize("day", [date(2026, 6, 7), date(2026, 6, 15), date.max])
def test_a_day_outside_the_window_is_refused(tmp_path: Path, day: date) -> None:
    refuse("outside the window", job(tmp_path / "p", day=day))


def test_days_with_a_repeated_hour_have_25_hours(tmp_path: Path) -> None:
    day = date(2026, 10, 25)
    window = Window(day, day)
    for hours, passes in ((-0.001, False), (0, True), (24.999, True), (25, False)):
        instant = datetime(2026, 10, 24, 23, tzinfo=UTC) + timedelta(hours=hours)
        frame = pl.DataFrame([(VEHICLE, CAMERA, instant)], schema=SCHEMA, orient="row")
        part = job(tmp_path / str(hours), frame, day=day, window=window)
        if passes:
            assert check_here(part).rows == 1
        else:
            refuse("times outside", part)


def test_times_without_a_day_are_refused(tmp_path: Path) -> None:
    refuse("has no day", job(tmp_path / "p", day=None))


NAMES, TYPES, SHAPE = "columns are not those agreed\n", "agreed, or not of their types\n", "schema is not flat\n"
FRAMES: dict[str, tuple[str, pl.DataFrame]] = {
    "column missing": (NAMES, FRAME.drop("camera")),
    "column not agreed": (NAMES, FRAME.with_columns(pl.lit("0-49").alias("confidence"))),
    "column of another name": (NAMES, FRAME.rename({"camera": "Camera"})),
    "columns in another order": (TYPES, FRAME.select("camera", "vehicle", "captured_at")),
    "times without zone": (TYPES, FRAME.with_columns(pl.col("captured_at").dt.replace_time_zone(None))),
    "times in another zone": (TYPES, FRAME.with_columns(pl.col("captured_at").dt.convert_time_zone("Europe/London"))),
    "times in milliseconds": (TYPES, FRAME.with_columns(pl.col("captured_at").dt.cast_time_unit("ms"))),
    "times as text": (TYPES, FRAME.with_columns(pl.col("captured_at").cast(pl.String))),
    "times as numbers": (TYPES, FRAME.with_columns(pl.col("captured_at").to_physical())),
    "tokens as bytes": (TYPES, FRAME.with_columns(pl.col("vehicle").cast(pl.Binary))),
    "tokens as categories": (TYPES, FRAME.with_columns(pl.col("vehicle").cast(pl.Categorical))),
    "nested": (SHAPE, FRAME.with_columns(pl.struct("vehicle").alias("vehicle"))),
    "lists": (SHAPE, FRAME.with_columns(pl.concat_list("vehicle").alias("vehicle"))),
    "no columns": (SHAPE, FRAME.select([])),
}


@pytest.mark.parametrize("fault", FRAMES)
def test_another_shape_of_table_is_refused(tmp_path: Path, fault: str) -> None:
    reason, frame = FRAMES[fault]
    refuse(reason, job(tmp_path / "p", frame, rows=None))


CELLS = {
    "plate": "AB12CDE",
    "short token": VEHICLE[:-1],
    "long token": VEHICLE + "0",
    "upper case": VEHICLE.upper(),
    "line break": VEHICLE + "\n",
    "empty": "",
    "missing": None,
    "free text": "Mr Smith, 12 High Street",
    "formula": "=1+1",
}


@pytest.mark.parametrize("fault", CELLS)
def test_a_cell_that_is_no_token_is_refused(tmp_path: Path, fault: str) -> None:
    row = pl.DataFrame([(CELLS[fault], CAMERA, FIRST)], schema=SCHEMA, orient="row")
    error = refuse("cells that its table does not allow", job(tmp_path / "p", pl.concat([FRAME, row])))
    assert (CELLS[fault] or "AB12CDE") not in str(error)


def test_a_missing_time_is_refused(tmp_path: Path) -> None:
    row = pl.DataFrame([(VEHICLE, CAMERA, None)], schema=SCHEMA, orient="row")
    refuse("cells that its table does not allow", job(tmp_path / "p", pl.concat([FRAME, row])))


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_another_number_of_rows_is_refused(tmp_path: Path, rows: int) -> None:
    refuse("another number of rows", job(tmp_path / "p", rows=rows))


def test_a_wrong_key_is_refused(tmp_path: Path) -> None:
    refuse("does not open with its key", job(tmp_path / "p", key=LOCAL))


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("not an encrypted", {}),
        ("not an encrypted", {"footer_key": KEY, "plaintext_footer": True}),
        ("in the clear or under another key", {"footer_key": KEY, "column_keys": {"vehicle": KEY}}),
        ("encrypted with a prefix", {"footer_key": KEY, "aad_prefix": b"p", "store_aad_prefix": True}),
    ],
    ids=["plaintext", "plaintext footer", "column keys and clear columns", "prefix"],
)
def test_other_encryption_is_refused(tmp_path: Path, fault: str, options: dict[str, Any]) -> None:
    part = job(tmp_path / "p")
    part.path.unlink()
    FRAME.write_parquet(part.path, encryption=pl.ParquetEncryptionProperties(**options) if options else None)
    refuse(fault, part)


def test_a_truncated_part_is_refused(tmp_path: Path) -> None:
    part = job(tmp_path / "p")
    part.path.write_bytes(part.path.read_bytes()[:-30])
    refuse("not an encrypted", part)


def test_damage_that_only_decoding_finds_is_refused(tmp_path: Path) -> None:
    part = job(tmp_path / "p")
    content = bytearray(part.path.read_bytes())
    header = 4 + int.from_bytes(content[4:8], "little")
    content[4 + header + 20] ^= 1  # the first page, not its header
    part.path.write_bytes(content)
    refuse("a part cannot be opened", part)


def test_more_rows_or_bytes_than_allowed_are_refused(tmp_path: Path) -> None:
    part = job(tmp_path / "p")
    refuse("more rows than allowed", part, rows=1)
    refuse("more bytes than allowed", part, decoded=100)
    refuse("larger than allowed", part, size=100)
    refuse("larger than allowed", replace(part, size=part.path.stat().st_size), size=100)


def test_a_few_bytes_that_decode_to_a_gigabyte_are_refused(tmp_path: Path) -> None:
    huge = pl.DataFrame([("0" * 100_000_000, CAMERA, FIRST)], schema=SCHEMA, orient="row")
    part = job(tmp_path / "p", huge)
    assert part.path.stat().st_size < 1_000_000
    refuse("more bytes than allowed", part, decoded=64 * 1024**2)
    refuse("cells that its table does not allow", part, seconds=60)


def test_the_parts_of_a_bundle_are_bounded_together(tmp_path: Path) -> None:
    parts = [job(tmp_path / "a"), job(tmp_path / "b")]
    for limits in ({"bundle_rows": 4}, {"bundle_decoded": 10_000}, {"bundle_seconds": 60}):
        assert len(check(*parts, **limits)) == 2
    one = 200  # more than the pages of one of them take decoded, and less than those of two
    for limits, reason in (({"bundle_rows": 3}, "more rows"), ({"bundle_decoded": one}, "more bytes")):
        assert len(check(parts[0], **limits)) == 1
        refuse(f"{reason} than allowed", *parts, **limits)


def test_a_bundle_whose_checks_take_too_long_together_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [job(tmp_path / "a"), job(tmp_path / "b")]
    ticking = iter(range(0, 1000, 40))
    monkeypatch.setattr(part_check, "time", SimpleNamespace(monotonic=lambda: next(ticking)))
    assert len(check(*parts, bundle_seconds=90)) == 2
    refuse("the check of the bundle took too long", *parts, bundle_seconds=40)


def test_keys_show_in_no_representation(tmp_path: Path) -> None:
    text = repr(job(tmp_path / "p", rewrite=Rewrite(tmp_path / "local", LOCAL)))
    assert "kkkk" not in text
    assert "llll" not in text


@pytest.mark.parametrize(
    "changes",
    [{"key": b"short"}, {"rewrite": Rewrite(Path("local"), b"short")}, {"table": "people"}, {"columns": ("name",)}],
    ids=["key", "local key", "table", "column"],
)
def test_jobs_that_make_no_sense_are_usage_errors(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        check(job(tmp_path / "p", **changes))


def test_a_part_that_was_swapped_since_its_digest_was_checked_is_refused(tmp_path: Path) -> None:
    honest = job(tmp_path / "p")
    content = honest.path.read_bytes()
    stated = replace(honest, sha256=hashlib.sha256(content).hexdigest())
    assert check(stated) == [PartResult("reads", DAY, 2, None)]
    # The sender holds the key: what it puts there later is a good part, of other rows.
    honest.path.unlink()
    job(honest.path, FRAME.with_columns(vehicle=pl.lit("e" * 32)))
    assert check_here(honest).rows == 2
    assert str(DAY) in str(refuse("not what the manifest lists", stated))
    refuse("not what the manifest lists", stated, seconds=300.0)


def test_a_part_in_a_bundle_is_compared_with_its_own_digest(tmp_path: Path) -> None:
    inner = job(tmp_path / "p")
    content = inner.path.read_bytes()
    bundle = tmp_path / "bundle"
    bundle.write_bytes(b"before" + content + b"after")
    placed = replace(inner, path=bundle, offset=6, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    assert check_here(placed).rows == 2
