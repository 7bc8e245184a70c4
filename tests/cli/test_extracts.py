"""``check`` and ``profile show`` as an analyst uses them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anpr_share.cli import main

NOW = datetime(2026, 10, 9, tzinfo=UTC)
HEADER = "vrm,camera,captured_at,confidence\n"
GOOD = "AB12CDE,CAM-1,2026-10-08T16:30:51Z,93\n"
BAD_PLATE = "GH56?JK,CAM-2,2026-10-08T16:30:52Z,93\n"
BAD_TIME = "LM78NOP,CAM-3,yesterday,93\n"


@pytest.fixture
def extract(tmp_path: Path) -> Path:
    return tmp_path / "reads.csv"


def check(*argv: str | Path) -> int:
    return main.run(["check", *map(str, argv), "--profile", "plain-reads"], clock=lambda: NOW)


def test_a_good_extract_is_exit_code_0(extract: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract.write_text(HEADER + GOOD, encoding="utf-8")

    assert check(extract) == 0

    assert "1 accepted, 0 rejected" in capsys.readouterr().out


def test_each_rule_is_told_with_its_meaning_what_is_expected_and_what_to_do(
    extract: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    extract.write_text(HEADER + GOOD + BAD_PLATE + BAD_TIME, encoding="utf-8")

    assert check(extract) == 1

    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    told = " ".join(out.split())
    assert "part of the plate was not read" in told
    assert "expected: captured_at: such as 2026-11-23T17:45:09Z (format %Y-%m-%dT%H:%M:%SZ)" in told
    assert "to do: look at one of these rows" in told
    assert "first rows: 3" in told


def test_a_row_that_fails_two_rules_is_said_to_be_rejected_once(
    extract: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extract.write_text(HEADER + BAD_TIME + "GH56?JK,CAM-3,yesterday,93\n", encoding="utf-8")

    assert check(extract) == 1

    assert "1 of these are rejected by an earlier rule already" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("day", "told"), [("2025-10-10", False), ("2025-10-09", True)])
def test_reads_older_than_any_agreement_allows_are_pointed_out(
    extract: Path, capsys: pytest.CaptureFixture[str], day: str, told: bool
) -> None:
    extract.write_text(HEADER + GOOD + GOOD.replace("2026-10-08", day), encoding="utf-8")

    assert check(extract) == 0

    note = "older than 12 months, the longest limit of any agreement: an export leaves out what was captured before "
    assert (f"{note}2025-10-10 (Europe/London)" in capsys.readouterr().out) == told


def test_a_bad_row_is_exit_code_1_counted_by_rule_and_never_shown(
    extract: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extract.write_text(HEADER + GOOD + BAD_PLATE + BAD_TIME, encoding="utf-8")

    assert check(extract) == 1

    out, err = capsys.readouterr()
    assert "1 accepted, 2 rejected" in out
    assert "vrm-partial" in out
    assert "time-unreadable" in out
    for cell in ("AB12CDE", "GH56", "LM78NOP", "CAM-1", "CAM-2", "CAM-3", "yesterday"):
        assert cell not in out + err


def test_the_report_for_machines_has_the_same_counts(extract: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract.write_text(HEADER + GOOD + BAD_PLATE + BAD_TIME, encoding="utf-8")

    assert check(extract, "--json") == 1

    told = json.loads(capsys.readouterr().out)
    assert (told["command"], told["status"]) == ("check", "no")
    assert (told["result"]["rows"], told["result"]["accepted"]) == (3, 1)
    assert told["result"]["rejected"] == {"vrm-partial": 1, "time-unreadable": 1}


def test_the_rejects_file_has_row_and_rule_and_no_value(extract: Path, tmp_path: Path) -> None:
    extract.write_text(HEADER + GOOD + BAD_PLATE + BAD_TIME, encoding="utf-8")
    rejects = tmp_path / "rejects.csv"

    assert check(extract, "--rejects", rejects) == 1

    text = rejects.read_text(encoding="utf-8")
    assert len(text.splitlines()) == 3
    assert "vrm-partial" in text
    assert "GH56" not in text


def test_a_file_that_is_not_there_is_exit_code_6(tmp_path: Path) -> None:
    assert check(tmp_path / "none.csv") == 6


def test_a_profile_that_is_not_there_is_told_without_what_was_typed(
    extract: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extract.write_text(HEADER + GOOD, encoding="utf-8")

    assert main.run(["check", str(extract), "--profile", "AB12CDE"], clock=lambda: NOW) in {2, 6}
    assert "AB12CDE" not in capsys.readouterr().err


def test_the_time_comes_from_the_clock(extract: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract.write_text(HEADER + GOOD, encoding="utf-8")
    earlier = datetime(2026, 10, 1, tzinfo=UTC)

    assert main.run(["check", str(extract), "--profile", "plain-reads"], clock=lambda: earlier) == 1
    assert "time-future" in capsys.readouterr().out


def test_of_several_files_the_report_says_in_which_a_row_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text(HEADER + GOOD, encoding="utf-8")
    (tmp_path / "b.csv").write_text(HEADER + GOOD + BAD_PLATE, encoding="utf-8")

    assert check(tmp_path / "*.csv") == 1

    out = capsys.readouterr().out
    assert "3 rows in 2 files" in out
    assert "2:2" in out
