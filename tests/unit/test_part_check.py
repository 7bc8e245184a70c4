"""Step 8: a part passes only if it is exactly what was agreed, and no part can harm its reader."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from anpr_share import parquet, part_check
from anpr_share.errors import StorageError, UsageError, VerificationError
from anpr_share.part_check import PartJob, PartLimits, PartResult, PartRules, Rewrite, check_parts
from anpr_share.periods import Window, day_start
from anpr_share.work.minimising import ReadsPipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = b"k" * 32
LOCAL = b"l" * 32
LONDON = ZoneInfo("Europe/London")
DAY = date(2026, 6, 10)
WINDOW = Window(date(2026, 6, 8), date(2026, 6, 14))
COLUMNS = ("vehicle", "camera", "captured_at")
SCHEMA = pl.Schema({"vehicle": pl.String(), "camera": pl.String(), "captured_at": pl.Datetime("us", "UTC")})
# In June, London's day runs from 23:00 to 23:00 UTC.
FIRST, LAST = datetime(2026, 6, 9, 23, tzinfo=UTC), datetime(2026, 6, 10, 22, 59, 59, 999_999, tzinfo=UTC)
VEHICLE, CAMERA = "0123456789abcdef0123456789abcdef", "f" * 32
FRAME = pl.DataFrame([(VEHICLE, CAMERA, FIRST), (VEHICLE, CAMERA, LAST)], schema=SCHEMA, orient="row")


def job(path: Path, frame: pl.DataFrame = FRAME, **changes: Any) -> PartJob:
    parquet.write_part(frame, path, KEY)
    return replace(PartJob(path, KEY, "reads", DAY, frame.height, COLUMNS, LONDON, WINDOW), **changes)


def check(*jobs: PartJob, **limits: Any) -> list[PartResult]:
    return list(check_parts(jobs, limits=PartLimits(**limits)))


def check_here(part: PartJob) -> PartResult:
    line = json.dumps(part_check._message(part)).encode()
    return part_check._result(part, part_check._answer(line, PartLimits(), part_check.Seen()))


def refuse(reason: str, *jobs: PartJob, **limits: Any) -> VerificationError:
    """Expect a refusal: by a child if limits are given, else, since children take their time, without one."""
    with pytest.raises(VerificationError, match=reason) as caught:
        check(*jobs, **limits) if limits else [check_here(each) for each in jobs]
    assert caught.value.step == 8
    for secret in (VEHICLE, CAMERA, str(jobs[-1].path)):
        assert secret not in str(caught.value)
    return caught.value


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
    assert_frame_equal(parquet.read_part(target, LOCAL), FRAME)
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
    assert_frame_equal(parquet.read_part(target, LOCAL), frame)
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


FRAMES = {
    "column missing": FRAME.drop("camera"),
    "column not agreed": FRAME.with_columns(pl.lit("0-49").alias("confidence")),
    "column of another name": FRAME.rename({"camera": "Camera"}),
    "columns in another order": FRAME.select("camera", "vehicle", "captured_at"),
    "times without zone": FRAME.with_columns(pl.col("captured_at").dt.replace_time_zone(None)),
    "times in another zone": FRAME.with_columns(pl.col("captured_at").dt.convert_time_zone("Europe/London")),
    "times in milliseconds": FRAME.with_columns(pl.col("captured_at").dt.cast_time_unit("ms")),
    "times as text": FRAME.with_columns(pl.col("captured_at").cast(pl.String)),
    "times as numbers": FRAME.with_columns(pl.col("captured_at").to_physical()),
    "tokens as bytes": FRAME.with_columns(pl.col("vehicle").cast(pl.Binary)),
    "tokens as categories": FRAME.with_columns(pl.col("vehicle").cast(pl.Categorical)),
    "nested": FRAME.with_columns(pl.struct("vehicle").alias("vehicle")),
    "lists": FRAME.with_columns(pl.concat_list("vehicle").alias("vehicle")),
    "no columns": FRAME.select([]),
}


@pytest.mark.parametrize("fault", FRAMES)
def test_another_shape_of_table_is_refused(tmp_path: Path, fault: str) -> None:
    refuse("columns|type|flat|schema|metadata", job(tmp_path / "p", FRAMES[fault], rows=None))


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


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux")
def test_a_part_that_needs_more_memory_than_allowed_is_refused(tmp_path: Path) -> None:
    rows = 1_000_000
    frame = pl.select(
        pl.int_range(rows).hash().cast(pl.String).str.pad_start(32, "0").alias("vehicle"),
        pl.lit(CAMERA).alias("camera"),
        (pl.lit(FIRST).dt.cast_time_unit("us") + pl.duration(microseconds=pl.int_range(rows))).alias("captured_at"),
    )
    part = job(tmp_path / "p", frame)
    refuse("crashed or needed more memory|cannot be opened", part, memory=8 * 1024**2)
    check(part)


def test_a_part_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    began = time.monotonic()
    refuse("took too long", job(tmp_path / "p"), seconds=0.01)
    assert time.monotonic() - began < 30


def child(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let another program stand where the child stands."""
    start = subprocess.Popen

    def other(arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        assert list(arguments) == [sys.executable, "-m", "anpr_share.part_check"]
        return start([sys.executable, "-c", program], **options)

    monkeypatch.setattr(subprocess, "Popen", other)


READ = "import sys, time, os; sys.stdin.readline(); sys.stdin.readline();"
ANSWER = {"reason": None, "storage": False, "rows": 2, "size": None, "sha256": None}

CHILDREN = {
    "dead at once": ("crashed", "raise SystemExit(1)"),
    "dead at the part": ("crashed", READ + "os._exit(0)"),
    "killed": ("crashed", READ + "os.kill(os.getpid(), 9)"),
    "silent": ("too long", READ + "time.sleep(600)"),
    "half an answer": ("crashed", READ + f"print({json.dumps(ANSWER)!r}, end='', flush=True)"),
    "endless answer": ("crashed", READ + "print('[' * 10**6, flush=True); time.sleep(600)"),
    "not json": ("no answer", READ + "print('AB12CDE', flush=True)"),
    "deep json": ("no answer", READ + "print('[' * 3000, flush=True)"),
    "no object": ("no answer", READ + "print('[]', flush=True)"),
    "other rows": ("no answer", READ + f"print({json.dumps(ANSWER | {'rows': 3})!r}, flush=True)"),
    "rows as text": ("no answer", READ + f"print({json.dumps(ANSWER | {'rows': '2'})!r}, flush=True)"),
    "reason with a plate": ("no answer", READ + f"print({json.dumps(ANSWER | {'reason': 'AB12CDE'})!r}, flush=True)"),
    "reason with escapes": (
        "no answer",
        READ + f"print({json.dumps(ANSWER | {'reason': 'a' + chr(27)})!r}, flush=True)",
    ),
    "reason that is no text": ("no answer", READ + f"print({json.dumps(ANSWER | {'reason': 1})!r}, flush=True)"),
}


@pytest.mark.parametrize("fault", CHILDREN)
def test_whatever_the_child_does_the_part_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    reason, program = CHILDREN[fault]
    part = job(tmp_path / "p")
    child(monkeypatch, program)
    error = refuse(reason, part, seconds=2.0)
    assert "AB12CDE" not in str(error)


def test_an_answer_without_the_file_asked_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = job(tmp_path / "p", rewrite=Rewrite(tmp_path / "local", LOCAL))
    child(monkeypatch, READ + f"print({json.dumps(ANSWER)!r}, flush=True)")
    refuse("no answer", part, seconds=60)


def test_what_the_child_says_on_standard_error_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    part = job(tmp_path / "p")
    child(monkeypatch, "import sys; sys.stderr.write('AB12CDE'); sys.exit(1)")
    refuse("crashed", part, seconds=60)
    assert capfd.readouterr() == ("", "")


def test_a_refused_part_leaves_no_file(tmp_path: Path) -> None:
    target = tmp_path / "local"
    rewrite = Rewrite(target, LOCAL)
    refuse("times outside", job(tmp_path / "a", day=date(2026, 6, 9), rewrite=rewrite), seconds=60)
    refuse("does not open", job(tmp_path / "b", key=LOCAL, rewrite=rewrite), seconds=60)
    refuse("too long", job(tmp_path / "c", rewrite=rewrite), seconds=0.01)
    assert not target.exists()


def test_a_killed_rewrite_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "local"
    part = job(tmp_path / "p", rewrite=Rewrite(target, LOCAL))
    child(monkeypatch, READ + f"open({str(target)!r}, 'w').write('half'); os._exit(1)")
    refuse("crashed", part, seconds=60)
    assert not target.exists()


def test_a_target_that_exists_stays(tmp_path: Path) -> None:
    target = tmp_path / "local"
    target.write_text("mine")
    with pytest.raises(StorageError):
        check(job(tmp_path / "p", rewrite=Rewrite(target, LOCAL)))
    assert target.read_text() == "mine"


def test_a_folder_that_is_missing_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        check(job(tmp_path / "p", rewrite=Rewrite(tmp_path / "absent" / "local", LOCAL)))
    with pytest.raises(StorageError):
        check(replace(job(tmp_path / "q"), path=tmp_path / "absent"))


def test_earlier_results_come_before_a_fault(tmp_path: Path) -> None:
    results = check_parts([job(tmp_path / "a"), job(tmp_path / "b", rows=3)])
    assert next(results).rows == 2
    with pytest.raises(VerificationError):
        next(results)
    assert list(results) == []


def test_closing_early_ends_the_child(tmp_path: Path) -> None:
    results = check_parts([job(tmp_path / "a"), job(tmp_path / "b")])
    next(results)
    results.close()  # type: ignore[attr-defined]
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    assert not children.exists() or children.read_text() == ""


def test_a_module_beside_the_caller_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = job(tmp_path / "p")
    (tmp_path / "polars.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    assert check(replace(part, path=Path("p")))[0].rows == 2


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


def floored(day: date, resolution: str, zone: ZoneInfo) -> pl.Expr:
    """What an export does to times."""
    rules = SimpleNamespace(resolution=resolution, zone=zone)
    return ReadsPipeline._floor(SimpleNamespace(_rules=rules), day)  # type: ignore[arg-type]


def times(*instants: datetime) -> pl.DataFrame:
    return pl.DataFrame([(VEHICLE, CAMERA, instant) for instant in instants], schema=SCHEMA, orient="row")


@pytest.mark.parametrize(
    ("resolution", "even", "odd"),
    [
        ("1s", FIRST + timedelta(seconds=59), FIRST + timedelta(microseconds=1)),
        ("1m", FIRST + timedelta(minutes=59), FIRST + timedelta(seconds=1)),
        ("15m", FIRST + timedelta(minutes=45), FIRST + timedelta(minutes=14)),
        ("1h", FIRST + timedelta(hours=23), FIRST + timedelta(minutes=15)),
        ("1d", FIRST, FIRST + timedelta(hours=1)),
    ],
)
def test_times_finer_than_agreed_are_refused(tmp_path: Path, resolution: str, even: datetime, odd: datetime) -> None:
    rules = PartRules(resolution=resolution)
    assert check_here(job(tmp_path / "even", times(FIRST, even), rules=rules)).rows == 2
    refuse("times are finer than agreed", job(tmp_path / "odd", times(FIRST, even, odd), rules=rules))


@pytest.mark.parametrize("resolution", ["1s", "1m", "15m", "1h", "1d"])
@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/London", date(2026, 3, 29)),
        ("Europe/London", date(2026, 10, 25)),
        ("Asia/Kathmandu", DAY),
        ("Australia/Lord_Howe", date(2026, 4, 5)),
        ("Africa/Cairo", date(2026, 4, 24)),
    ],
)
def test_what_an_export_floors_passes(tmp_path: Path, resolution: str, zone: str, day: date) -> None:
    place = ZoneInfo(zone)
    start, end = day_start(day, place), day_start(day + timedelta(days=1), place)
    every = pl.datetime_range(start, end, "7m13s", time_unit="us", time_zone="UTC", closed="left", eager=True)
    frame = pl.DataFrame({"captured_at": every}).with_columns(floored(day, resolution, place))
    rows = frame.select(pl.lit(VEHICLE).alias("vehicle"), pl.lit(CAMERA).alias("camera"), "captured_at")
    window = Window(day, day)
    part = job(tmp_path / "p", rows, day=day, zone=place, window=window, rules=PartRules(resolution=resolution))
    assert check_here(part).rows == rows.height


TARGETS = ("vehicle", "log", "offence", "offence_from", "offence_to", "convicted_on", "person_category")


def targets(path: Path, *rows: tuple[Any, ...], **rules: Any) -> PartJob:
    """A part of targets, each row an offence, a date for one of the three date columns, that column, a category."""
    kinds = [pl.Date() if name in TARGETS[3:6] else pl.String() for name in TARGETS]
    cells = [
        (VEHICLE, CAMERA, offence, *(when if name == column else None for name in TARGETS[3:6]), category)
        for offence, when, column, category in rows
    ]
    frame = pl.DataFrame(cells, schema=dict(zip(TARGETS, kinds, strict=True)), orient="row")
    return job(path, frame, table="targets", day=None, columns=TARGETS, rules=PartRules(**rules))


@pytest.mark.parametrize("column", TARGETS[3:6])
def test_dates_finer_than_agreed_are_refused(tmp_path: Path, column: str) -> None:
    months = [("Burglary", date(2020, 5, 1), column, None), ("Theft", None, column, "suspect")]
    exact = ("Theft", date(2020, 5, 2), column, None)
    assert check_here(targets(tmp_path / "m", *months, date_resolution="month")).rows == 2
    assert check_here(targets(tmp_path / "d", *months, exact, date_resolution="day")).rows == 3
    refused = refuse("dates are finer", targets(tmp_path / "x", *months, exact, date_resolution="month"))
    assert "2020" not in str(refused)


def test_victims_are_refused_where_the_agreement_leaves_them_out(tmp_path: Path) -> None:
    others = [("Theft", None, "convicted_on", category) for category in ("suspect", "convicted", "witness")]
    victim = ("Theft", None, "convicted_on", "victim")
    assert check_here(targets(tmp_path / "o", *others, victims=False)).rows == 3
    assert check_here(targets(tmp_path / "a", *others, victim, victims=True)).rows == 4
    refuse("it has victims", targets(tmp_path / "x", *others, victim, victims=False))


def test_rows_without_a_category_are_refused_where_victims_are(tmp_path: Path) -> None:
    rows = [("Theft", None, "convicted_on", category) for category in ("suspect", None)]
    assert check_here(targets(tmp_path / "a", *rows, victims=True)).rows == 2
    refuse("without a category", targets(tmp_path / "x", *rows, victims=False))


def test_more_offences_than_a_list_of_them_are_refused(tmp_path: Path) -> None:
    words = [f"Offence {first}{second}" for first in "abcdefghijk" for second in "abcdefghij"]
    rows = [(word, None, "convicted_on", None) for word in words[:100] * 2]
    assert check_here(targets(tmp_path / "p", *rows)).rows == 200
    rows.append((words[100], None, "convicted_on", None))
    assert "Offence" not in str(refuse("more different offences", targets(tmp_path / "x", *rows)))
    assert check_here(targets(tmp_path / "n", *rows, max_offences=None)).rows == 201


def test_the_offences_of_all_parts_of_a_table_count_together(tmp_path: Path) -> None:
    rows = [(f"Offence {letter}", None, "convicted_on", None) for letter in "abc"]
    parts = [targets(tmp_path / str(n), *rows[n:][:2], max_offences=3) for n in range(2)]
    assert len(check(*parts)) == 2
    fewer = [replace(part, rules=PartRules(max_offences=2)) for part in parts]
    assert check(fewer[0])[0].rows == check(fewer[1])[0].rows == 2
    refuse("more different offences", *fewer, seconds=60)


def test_what_breaks_a_rule_is_not_written_to_the_store(tmp_path: Path) -> None:
    target = tmp_path / "local"
    rewrite = Rewrite(target, LOCAL)
    refuse("finer", job(tmp_path / "p", rewrite=rewrite, rules=PartRules(resolution="1h")), seconds=300.0)
    assert not target.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": "0" * 63},
        {"rules": PartRules(resolution="2h")},
        {"rules": PartRules(date_resolution="year")},
    ],
)
def test_a_rule_that_no_agreement_has_is_our_mistake(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        check_here(job(tmp_path / "p", **wrong))
