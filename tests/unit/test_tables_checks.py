"""The rules, one fault each: which rows pass, and which rule each of the others fails first."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

from anpr_share.errors import InputError
from anpr_share.tables.checks import (
    RULES,
    Prepared,
    SwappedColumns,
    Vocabulary,
    camera_cells,
    cameras_missing,
    plate_like,
    prepare_cameras,
    prepare_reads,
    prepare_targets,
    read_times,
    split_plates,
    vrm_cells,
)
from anpr_share.tables.extract import Batch, open_extract
from anpr_share.tables.profile import Profile, load_profile, parse_profile, profile_text
from anpr_share.vrm import canonicalise_series

NOW = datetime(2026, 10, 9, tzinfo=UTC)
READS = parse_profile("""
table = "reads"
[columns]
vrm = "vrm"
camera = ["feed", "camera"]
confidence = "confidence"
[columns.captured_at]
columns = ["time"]
format = "%d/%m/%Y %H:%M"
timezone = "Europe/London"
""")
CAMERAS = parse_profile("""
table = "cameras"
[columns]
camera = ["camera"]
kind = "kind"
road_class = "road"
area_type = "area"
""")
TARGETS = load_profile("plain-targets")


def one_batch(tmp_path: Path, profile: Profile, rows: list[dict[str, str]], fields: tuple[str, ...] = ()) -> Batch:
    path = tmp_path / "extract.csv"
    columns = profile.source_columns(profile.fields)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        # A row that says so has a cell too many.
        writer.writerows(
            [*(row.get(column, "") for column in columns), *(["x"] if "extra" in row else [])] for row in rows
        )
    (batch,) = open_extract([path], profile, fields or profile.fields).batches()
    return batch


def status(batch: Batch, profile: Profile) -> pl.Series:
    return canonicalise_series(vrm_cells(batch, profile))["status"]


def judged(batch: Batch, *, now: datetime, plate_status: pl.Series, camera_missing: pl.Series) -> Prepared:
    times = read_times(batch, READS)
    return prepare_reads(batch, READS, now=now, times=times, plate_status=plate_status, camera_missing=camera_missing)


def reads(tmp_path: Path, *rows: dict[str, str], fields: tuple[str, ...] = ()) -> Prepared:
    batch = one_batch(tmp_path, READS, list(rows), fields)
    missing = cameras_missing(camera_cells(batch, READS))
    return judged(batch, now=NOW, plate_status=status(batch, READS), camera_missing=missing)


def targets(tmp_path: Path, *rows: dict[str, str], offences: Vocabulary | None = None) -> Prepared:
    batch = split_plates(one_batch(tmp_path, TARGETS, list(rows)), TARGETS)
    vocabulary = offences or Vocabulary()
    return prepare_targets(batch, TARGETS, plate_status=status(batch, TARGETS), offences=vocabulary)


def cameras(tmp_path: Path, *rows: dict[str, str]) -> Prepared:
    batch = one_batch(tmp_path, CAMERAS, list(rows))
    return prepare_cameras(batch, CAMERAS, camera_missing=cameras_missing(camera_cells(batch, CAMERAS)))


def accepted(prepared: Prepared) -> pl.DataFrame:
    return prepared.frame.filter(pl.col("rule").is_null()).drop("rule")


READ = {"vrm": "AB12CDE", "feed": "1", "camera": "2", "time": "08/10/2026 16:30", "confidence": "93"}
TARGET = {"vrm": "AB12CDE", "log": "INT1", "offence": "labour exploitation"}
CAMERA = {"camera": "A1", "kind": "fixed", "road": "motorway", "area": "urban"}


READ_CASES: list[tuple[dict[str, str], str | None]] = [
    ({}, None),
    ({"extra": "x"}, "cells"),
    ({"vrm": "  "}, "vrm-missing"),
    ({"vrm": "NOPLATE"}, "vrm-missing"),
    ({"vrm": "AB1?CDE"}, "vrm-partial"),
    ({"vrm": "ABCDEFGHIJKL"}, "vrm-malformed"),
    ({"feed": "", "camera": " "}, "camera-missing"),
    ({"feed": ""}, None),
    ({"time": ""}, "time-missing"),
    ({"time": "2026-10-08"}, "time-unreadable"),
    ({"time": "26/10/2025 01:30"}, "time-ambiguous"),
    ({"time": "29/03/2026 01:30"}, "time-nonexistent"),
    ({"time": "09/10/2026 01:00"}, None),
    ({"time": "09/10/2026 01:01"}, "time-future"),
    ({"confidence": ""}, None),
    ({"confidence": " 0 "}, None),
    ({"confidence": "100"}, None),
    ({"confidence": "99.5"}, None),
    ({"confidence": "100.1"}, "confidence-unreadable"),
    ({"confidence": "-1"}, "confidence-unreadable"),
    ({"confidence": "93%"}, "confidence-unreadable"),
    ({"confidence": "nan"}, "confidence-unreadable"),
    ({"confidence": "inf"}, "confidence-unreadable"),
    ({"vrm": "?", "time": "x", "feed": "", "camera": ""}, "vrm-missing"),
    ({"vrm": "A?", "time": "x", "confidence": "x"}, "vrm-partial"),
]


@pytest.mark.parametrize(("fault", "rule"), READ_CASES)
def test_a_read_fails_the_first_rule_that_it_breaks(tmp_path: Path, fault: dict[str, str], rule: str | None) -> None:
    prepared = reads(tmp_path, READ, READ | fault)

    assert prepared.frame["rule"].to_list() == [None, rule]
    assert accepted(prepared).height == (2 if rule is None else 1)


def test_an_accepted_read_has_its_parsed_columns(tmp_path: Path) -> None:
    prepared = reads(tmp_path, {"extra": "x"}, READ)

    assert accepted(prepared).rows(named=True) == [
        {
            "row": 2,
            "vrm": "AB12CDE",
            "c0": "1",
            "c1": "2",
            "captured_at": datetime(2026, 10, 8, 15, 30, tzinfo=UTC),
            "confidence": 93.0,
        }
    ]
    assert prepared.frame.schema["captured_at"] == pl.Datetime("us", "UTC")
    assert prepared.frame.schema["row"] == pl.UInt64


def test_a_field_that_was_not_read_is_not_checked(tmp_path: Path) -> None:
    prepared = reads(tmp_path, READ | {"confidence": "x"}, fields=("vrm", "camera", "captured_at"))

    assert prepared.frame["rule"].to_list() == [None]
    assert "confidence" not in prepared.frame.columns


def test_all_failures_of_a_row_are_told_and_a_ragged_row_has_one(tmp_path: Path) -> None:
    prepared = reads(tmp_path, {"extra": "x"}, READ, {"vrm": "A?", "time": "x", "confidence": "x", "feed": "1"})

    assert prepared.failures().rows() == [
        (1, "cells"),
        (3, "vrm-partial"),
        (3, "time-unreadable"),
        (3, "confidence-unreadable"),
    ]
    assert reads(tmp_path, READ).failures().rows() == []


def test_now_may_be_told_in_any_zone(tmp_path: Path) -> None:
    batch = one_batch(tmp_path, READS, [READ])
    for offset in (-8, 0, 5):
        now = NOW.astimezone(timezone(timedelta(hours=offset)))
        good = pl.Series(["ok"])
        prepared = judged(batch, now=now, plate_status=good, camera_missing=pl.Series([False]))
        assert accepted(prepared).height == 1


TARGET_CASES: list[tuple[dict[str, str], str | None]] = [
    ({}, None),
    ({"extra": "x"}, "cells"),
    ({"vrm": ""}, "vrm-missing"),
    ({"vrm": "AB1*CDE"}, "vrm-partial"),
    ({"vrm": "ABCDEFGHIJKL"}, "vrm-malformed"),
    ({"log": " "}, "log-missing"),
    ({"offence": ""}, "offence-missing"),
    ({"offence": "  slavery  "}, None),
    ({"offence": "see log 123"}, "offence-form"),
    ({"offence": "seen at the gate, then left"}, "offence-form"),
    ({"offence": "x" * 64}, None),
    ({"offence": "x" * 65}, "offence-form"),
    ({"offence": "-slavery"}, "offence-form"),
    ({"offence": "sl\u0430very"}, "offence-form"),  # a Cyrillic letter
    ({"offence": "slavery\nslavery"}, "offence-form"),
    ({"offence_from": "2026-08-30", "offence_to": "", "convicted_on": "2026-09-01"}, None),
    ({"convicted_on": "30/08/2026"}, "date-unreadable"),
    ({"offence_from": "2026-02-30"}, "date-unreadable"),
    ({"person_category": " Victim "}, None),
    ({"person_category": "bystander"}, "category-unknown"),
    ({"grading_scheme": "3X5X2", "source_grade": "2", "information_grade": "c"}, None),
    ({"grading_scheme": "4x4"}, "grade-unknown"),
    ({"source_grade": "reliable"}, "grade-unknown"),
]


@pytest.mark.parametrize(("fault", "rule"), TARGET_CASES)
def test_a_target_fails_the_first_rule_that_it_breaks(tmp_path: Path, fault: dict[str, str], rule: str | None) -> None:
    assert targets(tmp_path, TARGET, TARGET | fault).frame["rule"].to_list() == [None, rule]


def test_an_accepted_target_has_its_columns_trimmed_and_in_the_vocabularys_case(tmp_path: Path) -> None:
    row = {"log": " INT 1 ", "person_category": " SUSPECT", "grading_scheme": "3X5X2", "information_grade": "c"}
    prepared = targets(tmp_path, TARGET | row | {"convicted_on": "2026-09-01", "handling": " P "})

    (found,) = accepted(prepared).rows(named=True)

    assert found["log"] == "INT 1"
    assert (found["person_category"], found["grading_scheme"], found["information_grade"]) == ("suspect", "3x5x2", "C")
    assert (found["convicted_on"], found["offence_from"]) == (date(2026, 9, 1), None)
    assert (found["handling"], found["source_grade"]) == ("P", None)


@pytest.mark.parametrize(
    "cell", ["AB12CDE;GH56IJK", "AB12CDE, GH56IJK", "AB12CDE/GH56IJK", "AB12CDE\nGH56IJK", ";AB12CDE;;GH56IJK,"]
)
def test_a_cell_with_several_plates_makes_several_rows_of_one_number(tmp_path: Path, cell: str) -> None:
    prepared = targets(tmp_path, TARGET, TARGET | {"vrm": cell}, TARGET)

    assert [(row, vrm.strip()) for row, vrm in prepared.frame.select("row", "vrm").rows()] == [
        (1, "AB12CDE"),
        (2, "AB12CDE"),
        (2, "GH56IJK"),
        (3, "AB12CDE"),
    ]
    assert accepted(prepared).height == 4


def test_a_cell_of_separators_or_without_a_plate_keeps_its_one_row(tmp_path: Path) -> None:
    prepared = targets(tmp_path, TARGET | {"vrm": " ; , "}, TARGET | {"vrm": ""}, TARGET | {"vrm": "A1;B2"})

    assert prepared.frame["rule"].to_list() == ["vrm-missing", "vrm-missing", None, None]


def test_offences_beyond_the_first_hundred_kinds_are_rejected_over_all_batches(tmp_path: Path) -> None:
    vocabulary = Vocabulary()
    kinds = [f"kind {chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(101)]
    first = targets(tmp_path, *(TARGET | {"offence": kind} for kind in kinds[:99]), offences=vocabulary)
    more = [kinds[99], kinds[100], kinds[0], kinds[100], "not, well formed", kinds[99]]
    second = targets(tmp_path, *(TARGET | {"offence": kind} for kind in more), offences=vocabulary)

    assert accepted(first).height == 99
    assert second.frame["rule"].to_list() == [None, "offence-form", None, "offence-form", "offence-form", None]


CAMERA_CASES: list[tuple[dict[str, str], str | None]] = [
    ({}, None),
    ({"extra": "x"}, "cells"),
    ({"camera": ""}, "camera-missing"),
    ({"kind": "Mobile", "road": "A Road", "area": ""}, None),
    ({"kind": "drone"}, "kind-unknown"),
    ({"road": "A59 northbound"}, "road-class-unknown"),
    ({"area": "Preston"}, "area-type-unknown"),
]


@pytest.mark.parametrize(("fault", "rule"), CAMERA_CASES)
def test_a_camera_fails_the_first_rule_that_it_breaks(tmp_path: Path, fault: dict[str, str], rule: str | None) -> None:
    assert cameras(tmp_path, CAMERA, CAMERA | fault).frame["rule"].to_list() == [None, rule]


def test_words_are_given_as_the_vocabulary_writes_them(tmp_path: Path) -> None:
    (found,) = accepted(cameras(tmp_path, CAMERA | {"kind": "MOBILE", "road": "B_Road"})).rows(named=True)

    assert (found["kind"], found["road_class"], found["area_type"]) == ("mobile", "b-road", "urban")


def test_every_rule_is_broken_somewhere_above() -> None:
    for table, cases in (("reads", READ_CASES), ("targets", TARGET_CASES), ("cameras", CAMERA_CASES)):
        assert {rule for _, rule in cases} == {None, *RULES[table]}


def test_plates_are_recognised_among_other_names() -> None:
    cells = pl.Series(["AB12 CDE", "a123bcd", "ABC 1", "INT26695201", "CAM-12", "12345", None, "", "Q12ABC", "AIZ 123"])

    assert plate_like(cells).to_list() == [True, True, False, False, False, False, False, False, True, True]


@pytest.mark.parametrize(("plates", "refused"), [(0, False), (10, False), (11, True), (100, True)])
def test_swapped_columns_stop_the_work_above_a_tenth(plates: int, refused: bool) -> None:
    def counted(profile: Profile) -> SwappedColumns:
        swapped = SwappedColumns(profile, "camera")
        for start in (0, 50):
            shape = pl.Series([n < plates for n in range(start, start + 50)])
            swapped.add(pl.repeat(value=True, n=50, eager=True), shape)
        return swapped

    counted(READS.model_copy(update={"allow_plate_like": ("camera",)})).refuse()
    if not refused:
        counted(READS).refuse()
        return
    with pytest.raises(InputError, match="columns may be swapped"):
        counted(READS).refuse()


@pytest.mark.parametrize(
    ("name", "field"),
    [("nas-compact", "camera"), ("plain-reads", "camera"), ("plain-cameras", "camera"), ("plain-targets", "log")],
)
def test_names_that_look_like_plates_are_allowed_as_the_hint_says(name: str, field: str) -> None:
    text = profile_text(name)

    def refuse(profile: Profile) -> None:
        swapped = SwappedColumns(profile, field)
        swapped.add_cells(pl.Series(["AB12CDE"]))
        swapped.refuse()

    with pytest.raises(InputError) as caught:
        refuse(parse_profile(text))
    line = str(caught.value.hint).split("table = ...: ")[1]
    head, tables = text.split("\n[", 1)
    assert f"# {line} " in head
    refuse(parse_profile(head.replace(f"# {line} ", f"{line} ") + "\n[" + tables))
    refuse(parse_profile(f"{head}\n{line}\n[{tables}"))


def test_blank_cells_are_not_counted_when_columns_may_be_swapped() -> None:
    swapped = SwappedColumns(TARGETS, "log")
    swapped.add_cells(pl.Series(["AB12CDE", *["LOG"] * 8, " ", "", None]))
    with pytest.raises(InputError, match="of 9 cells"):
        swapped.refuse()


def test_an_extract_without_any_such_cell_is_not_called_swapped() -> None:
    SwappedColumns(TARGETS, "log").refuse()
