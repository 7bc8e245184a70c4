"""Checking whole extracts: reports that add up, rejects without values, and agreement with Frictionless."""

from __future__ import annotations

import csv
import json
import random
import re
import string
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import frictionless
import polars as pl
import pytest
from frictionless.formats import CsvControl

from anpr_share.errors import AnprShareError, InputError, StorageError, UsageError
from anpr_share.tables import blocks
from anpr_share.tables.check import check_extract
from anpr_share.tables.profile import Profile, load_profile, parse_profile, profile_text
from anpr_share.tables.report import Place, rejects_file
from tests.support import week

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 10, 10, tzinfo=UTC)
READS = load_profile("plain-reads")
HEADER = "vrm,camera,captured_at,confidence\n"
GOOD = "AB12CDE,CAM-1,2026-10-08T16:30:51Z,93\n"
BAD = "A?,CAM-2,yesterday,93\n"


def write(tmp_path: Path, text: str, name: str = "reads.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_report_adds_up_over_files_and_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 64)
    write(tmp_path, HEADER + (GOOD + BAD) * 30, "1.csv")
    write(tmp_path, HEADER + GOOD + "short\n" + GOOD.replace("AB12CDE", "D123ABC"), "2.csv")

    report = check_extract([str(tmp_path / "?.csv")], READS, now=NOW)

    assert (report.table, report.files) == ("reads", ("1.csv", "2.csv"))
    assert (report.rows, report.accepted, report.split, report.ok) == (63, 32, 0, False)
    assert report.rejected == {"cells": 1, "vrm-partial": 30}
    assert report.failures["time-unreadable"].count == 30
    assert report.failures["vrm-partial"].first_rows == tuple(Place(0, row) for row in range(2, 22, 2))
    assert report.failures["cells"].first_rows == (Place(1, 2),)
    assert report.families == {"current": 31, "prefix": 1}
    assert report.earliest == report.latest == datetime(2026, 10, 8, 16, 30, 51, tzinfo=UTC)


def test_a_good_extract_is_ok(tmp_path: Path) -> None:
    report = check_extract([write(tmp_path, HEADER + GOOD)], READS, now=NOW)

    assert report.ok
    assert (report.accepted, report.rejected, report.failures, report.notes) == (1, {}, {}, ())


def test_a_report_can_be_written_as_json_and_holds_no_cell(tmp_path: Path) -> None:
    report = check_extract([write(tmp_path, HEADER + GOOD + BAD)], READS, now=NOW)

    text = json.dumps(asdict(report), default=str)

    for cell in ("AB12CDE", "CAM-1", "CAM-2", "yesterday", "A?"):
        assert cell not in text


def test_confidence_from_0_to_1_and_a_wrong_delimiter_are_noted(tmp_path: Path) -> None:
    low = check_extract([write(tmp_path, HEADER + GOOD.replace("93", "0.93") * 3)], READS, now=NOW)
    short = check_extract([write(tmp_path, HEADER + GOOD + "x;y;z\n" * 3)], READS, now=NOW)

    assert "0 to 1" in low.notes[0]
    assert "delimiter" in short.notes[0]


def test_plates_that_may_be_words_are_noted_and_never_shown(tmp_path: Path) -> None:
    foreign = "".join(GOOD.replace("AB12CDE", f"WAW 12{letter}45") for letter in "ABCDEFGHJK")
    words = GOOD.replace("AB12CDE", "Not Known")

    few = check_extract([write(tmp_path, HEADER + GOOD + foreign + words * 9)], READS, now=NOW)
    many = check_extract([write(tmp_path, HEADER + GOOD + foreign + words * 10)], READS, now=NOW)

    assert few.families == {"other": 19, "current": 1}
    assert "19 are of family other" in few.notes[0]
    assert "null_values under [file]" in few.notes[0]
    assert len(few.notes) == 1
    assert "one text alone makes up 10 or more" in many.notes[1]
    assert "Not Known" not in str(many)


def test_one_rare_plate_among_very_many_is_no_word(tmp_path: Path) -> None:
    report = check_extract(
        [write(tmp_path, HEADER + GOOD * 1000 + GOOD.replace("AB12CDE", "WAW 12A45") * 10)], READS, now=NOW
    )

    assert len(report.notes) == 1


def test_the_words_of_the_documentation_become_empty_cells(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^null_values = .*\]$", page, re.MULTILINE)
    own = parse_profile(re.sub(r"^null_values = .*$", example, profile_text("plain-reads"), flags=re.MULTILINE))
    words = "".join(GOOD.replace("AB12CDE", word) for word in own.file.null_values)

    before = check_extract([write(tmp_path, HEADER + words)], READS, now=NOW)
    after = check_extract([tmp_path / "reads.csv"], own, now=NOW)

    assert before.families == {"other": len(own.file.null_values)}
    assert after.rejected == {"vrm-missing": len(own.file.null_values)}


def test_local_times_that_the_profile_resolves_are_counted(tmp_path: Path) -> None:
    profile = parse_profile("""
table = "reads"
[columns]
vrm = "vrm"
camera = "camera"
[columns.captured_at]
columns = ["captured_at"]
format = "%Y-%m-%d %H:%M"
timezone = "Europe/London"
ambiguous = "earliest"
""")
    rows = "AB12CDE,C,2025-10-26 01:30,\n" + "AB12CDE,C,2025-10-26 02:30,\n"

    assert check_extract([write(tmp_path, HEADER + rows)], profile, now=NOW).resolved == {"time-ambiguous": 1}


def test_rejects_say_file_row_and_rule_and_nothing_else(tmp_path: Path) -> None:
    formula = write(tmp_path, HEADER + GOOD + BAD + "short\n", "=cmd.csv")
    rejects = tmp_path / "rejects.csv"

    check_extract([formula], READS, now=NOW, rejects=rejects)

    assert rejects.read_text(encoding="utf-8").splitlines() == [
        "file,row,rule",
        "'=cmd.csv,2,vrm-partial",
        "'=cmd.csv,2,time-unreadable",
        "'=cmd.csv,3,cells",
    ]


def test_a_check_that_fails_leaves_no_rejects(tmp_path: Path) -> None:
    extract = write(tmp_path, HEADER + BAD + "x\0\n")
    rejects = tmp_path / "rejects.csv"

    with pytest.raises(InputError):
        check_extract([extract], READS, now=NOW, rejects=rejects)

    assert [path.name for path in tmp_path.iterdir()] == ["reads.csv"]


def test_rejects_never_overwrite_any_file(tmp_path: Path) -> None:
    taken = write(tmp_path, "before", "rejects.csv")

    with pytest.raises(StorageError, match="already where the rejects"), rejects_file(taken, ["reads.csv"]):
        raise AssertionError("nothing is to be written")
    with pytest.raises(StorageError, match="already where"), rejects_file(tmp_path / "new.csv", ["reads.csv"]):
        write(tmp_path, "in between", "new.csv")

    assert taken.read_text(encoding="utf-8") == "before"
    assert (tmp_path / "new.csv").read_text(encoding="utf-8") == "in between"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", "rejects.csv"]


def test_rejects_never_overwrite_the_extract_and_need_a_folder(tmp_path: Path) -> None:
    extract = write(tmp_path, HEADER + BAD)

    with pytest.raises(UsageError):
        check_extract([extract], READS, now=NOW, rejects=tmp_path / "." / "reads.csv")
    with pytest.raises(StorageError):
        check_extract([extract], READS, now=NOW, rejects=tmp_path / "none" / "rejects.csv")


def test_swapped_columns_stop_a_check_unless_allowed(tmp_path: Path) -> None:
    swapped = write(tmp_path, HEADER + "CAM-1,AB12CDE,2026-10-08T16:30:51Z,93\n" * 5)

    with pytest.raises(InputError, match="columns may be swapped"):
        check_extract([swapped], READS, now=NOW)
    allowed = READS.model_copy(update={"allow_plate_like": ("camera",)})
    assert check_extract([swapped], allowed, now=NOW).rows == 5


def test_logs_that_are_plates_stop_a_check(tmp_path: Path) -> None:
    targets = load_profile("plain-targets")
    header = ",".join(targets.source_columns(targets.fields)) + "\n"
    rows = "INT1,AB12CDE,slavery" + "," * 8 + "\n"

    with pytest.raises(InputError, match="mapped to log"):
        check_extract([write(tmp_path, header + rows)], targets, now=NOW)


def test_no_failure_says_a_plate(tmp_path: Path) -> None:
    plate = "YX98YWV"
    faults = [
        plate,
        HEADER + f"{plate},C\0,t,9\n",
        HEADER + f'{plate},"C,t,9\n',
        HEADER.replace("vrm", plate) + GOOD,
        HEADER + f"C,{plate},2026-10-08T16:30:51Z,9\n" * 9,
    ]
    for fault in faults:
        with pytest.raises(AnprShareError) as caught:
            check_extract([write(tmp_path, fault)], READS, now=NOW)
        assert plate not in f"{caught.value.message} {caught.value.hint} {caught.value.__cause__}"


def frictionless_bad_rows(path: Path, table: str, delimiter: str = ",", encoding: str = "utf-8") -> set[int]:
    """Row numbers, from 1 after the header."""
    schema = frictionless.Schema.from_descriptor(
        json.loads((ROOT / "schemas" / "extract" / f"{table}.json").read_text(encoding="utf-8"))
    )
    resource = frictionless.Resource(
        path=path.name,
        basepath=str(path.parent),
        schema=schema,
        encoding=encoding,
        dialect=frictionless.Dialect(controls=[CsvControl(delimiter=delimiter)]),
    )
    report = frictionless.validate(resource, limit_errors=100_000)
    assert not [error for error in report.flatten(["rowNumber"]) if error == (None,)]
    return {row - 1 for (row,) in report.flatten(["rowNumber"])}


def our_bad_rows(path: Path, profile: Profile) -> set[int]:
    rejects = path.with_suffix(".rejects")
    check_extract([path], profile, now=NOW, rejects=rejects)
    return set(pl.read_csv(rejects)["row"])


def written(profile: Profile, delimiter: str, encoding: str) -> Profile:
    """The profile, for files that are written so."""
    terms = {"delimiter": delimiter, "encoding": encoding.removesuffix("-sig")}
    return profile.model_copy(update={"file": profile.file.model_copy(update=terms)})


# As frictionless and a profile name them. A byte-order mark is needed to know UTF-16 by.
WAYS = [(",", "utf-8"), ("|", "utf-8"), (";", "cp1252"), ("\t", "utf-16"), (",", "utf-8-sig")]
ways = pytest.mark.parametrize(("delimiter", "encoding"), WAYS)


def plate(source: random.Random) -> str:
    letters = "ABCDEFGHJKLMNOPRSTUVWXY"
    return "".join([*source.choices(letters, k=2), *source.choices(string.digits, k=2), *source.choices(letters, k=3)])


@ways
def test_frictionless_finds_the_same_bad_reads(tmp_path: Path, delimiter: str, encoding: str) -> None:
    source = random.Random(20261008)
    path = tmp_path / "reads.csv"
    faults = [
        {"vrm": ""},
        {"camera": ""},
        {"captured_at": ""},
        {"captured_at": "08/10/2026 16:30"},
        {"captured_at": "2026-13-08T16:30:51Z"},
        {"captured_at": "2026-10-08T16:30:51"},
        {"confidence": "high"},
        {"confidence": "101"},
        {"confidence": "-0.1"},
        {"extra": "x"},
    ]
    expected = set()
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(HEADER.strip().split(","))
        for number in range(1, 2001):
            row = {
                "vrm": plate(source),
                "camera": source.choice(["CAM-1", "north, lane 2", 'the "old" one', "007", "Mühlweg; Süd", "a|b"]),
                "captured_at": f"2026-10-{source.randint(1, 9):02}T{source.randint(0, 23):02}:30:51Z",
                "confidence": source.choice(["", "0", "100", "93.5"]),
            }
            if source.random() < 0.1:
                row |= source.choice(faults)
                expected.add(number)
            writer.writerow(row.values())

    assert our_bad_rows(path, written(load_profile("plain-reads"), delimiter, encoding)) == expected
    assert frictionless_bad_rows(path, "reads", delimiter, encoding) == expected


@ways
def test_frictionless_finds_the_same_bad_targets(tmp_path: Path, delimiter: str, encoding: str) -> None:
    source = random.Random(20261008)
    path = tmp_path / "targets.csv"
    columns = load_profile("plain-targets").source_columns(load_profile("plain-targets").fields)
    schema = json.loads((ROOT / "schemas" / "extract" / "targets.json").read_text(encoding="utf-8"))
    columns = tuple(field["name"] for field in schema["fields"])
    faults = [
        {"vrm": ""},
        {"log": ""},
        {"offence": ""},
        {"offence": "see log 12"},
        {"offence": "x" * 65},
        {"offence_from": "30/08/2026"},
        {"convicted_on": "2026-02-30"},
        {"person_category": "bystander"},
        {"grading_scheme": "4x4"},
        {"source_grade": "7"},
        {"information_grade": "F"},
    ]
    expected = set()
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        for number in range(1, 501):
            row = {
                "vrm": plate(source),
                "log": f"INT2669{number:04}",
                "offence": source.choice(["labour exploitation", "domestic servitude"]),
                "offence_from": source.choice(["", "2026-08-30"]),
                "person_category": source.choice(["", "suspect", "victim"]),
                "grading_scheme": "3x5x2",
                "source_grade": source.choice("123"),
                "information_grade": source.choice("ABCDE"),
                "handling": "P",
            }
            if source.random() < 0.2:
                row |= source.choice(faults)
                expected.add(number)
            writer.writerow(row)

    assert our_bad_rows(path, written(load_profile("plain-targets"), delimiter, encoding)) == expected
    assert frictionless_bad_rows(path, "targets", delimiter, encoding) == expected


@ways
def test_frictionless_finds_the_same_bad_cameras(tmp_path: Path, delimiter: str, encoding: str) -> None:
    source = random.Random(20261008)
    path = tmp_path / "cameras.csv"
    columns = ["camera", "kind", "road_class", "area_type"]
    faults = [
        {"camera": ""},
        {"kind": "sideways"},
        {"road_class": "lane"},
        {"area_type": "sea"},
        {"kind": "", "area_type": "0"},
    ]
    expected = set()
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        for number in range(1, 501):
            row = {
                "camera": source.choice(["CAM-1", "north, lane 2", 'the "old" one', "Mühlweg; Süd", "a|b"]),
                "kind": source.choice(["fixed", "mobile", ""]),
                "road_class": source.choice(["motorway", "a-road", "unclassified", ""]),
                "area_type": source.choice(["urban", "rural", ""]),
            }
            if source.random() < 0.2:
                row |= source.choice(faults)
                expected.add(number)
            writer.writerow(row)
    mapped = "".join(f'{name} = "{name}"\n' for name in columns)
    profile = parse_profile(f'table = "cameras"\n[columns]\n{mapped}')

    assert our_bad_rows(path, written(profile, delimiter, encoding)) == expected
    assert frictionless_bad_rows(path, "cameras", delimiter, encoding) == expected


@week.needed
def test_a_week_of_real_shape_is_checked() -> None:
    report = check_extract([week.READS], parse_profile(week.READS_PROFILE), now=NOW)

    assert report.rows == 93_490
    assert report.accepted + sum(report.rejected.values()) == report.rows
    assert set(report.rejected) == {"vrm-missing", "vrm-partial"}
    assert report.families["current"] > 80_000


@week.needed
def test_logs_of_real_shape_are_checked() -> None:
    report = check_extract([week.TARGETS], parse_profile(week.TARGETS_PROFILE), now=NOW)

    assert (report.rows, report.split) == (289, 12)
    assert report.accepted + sum(report.rejected.values()) == 301
    assert set(report.rejected) == {"vrm-missing", "vrm-partial"}
