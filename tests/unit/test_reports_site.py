"""What people are told about a ledger: everything that needs explaining."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from anpr_share.reports import terminal
from anpr_share.reports.site import check_lines, status_lines
from anpr_share.site.ledger import LedgerCheck
from anpr_share.work.status import AgreementStatus, FileStatus, HeldStatus, RequestStatus, StatusResult, WindowStatus

SOUND = LedgerCheck(lines=9, checkpoints=2, signed_to=6, unsigned_tail=0, out_of_place=(), clock_resets=0)


def told(**found: Any) -> str:
    check = replace(SOUND, **found)
    assert check.ok == (not found.keys() & {"out_of_place", "clock_resets"})
    return "\n".join(map(str, check_lines(check)))


def test_a_sound_ledger_is_said_to_be_so_with_what_cannot_be_seen() -> None:
    assert told().splitlines() == [
        "9 lines in an unbroken chain, signed up to line 6",
        "what this cannot see: an end that was cut off, signatures and all. Commands with the passphrase refuse that",
    ]


def test_each_finding_has_its_line() -> None:
    assert "3 lines after that not signed yet" in told(unsigned_tail=3)
    assert "1 line of these out of place (8)" in told(unsigned_tail=3, out_of_place=(8,))
    assert "2 lines signed as out of place (2, 5)" in told(unsigned_tail=3, out_of_place=(2, 5))
    assert "(1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more)" in told(signed_to=20, out_of_place=tuple(range(1, 13)))
    assert "2 lines in all put the clock back" in told(clock_resets=2)


NOW = datetime(2026, 10, 8, 16, 30, tzinfo=UTC)


DUE = datetime(2027, 8, 31, 23, tzinfo=UTC)
TABLES = ("reads", "targets")


def held(source: str, table: str) -> HeldStatus:
    if table == "reads":
        return HeldStatus(source, table, 97_451, 365, date(2026, 9, 1), date(2027, 8, 31), DUE, 1, 0, None)
    return HeldStatus(source, table, 60, 0, None, None, DUE + timedelta(days=40), 0, 0, None)


def status(role: str, weeks: int, files: int = 0) -> StatusResult:
    first = date(2026, 9, 7)
    windows = tuple(
        WindowStatus(
            first + timedelta(days=7 * week),
            first + timedelta(days=7 * week + 6),
            "open" if week < 4 else "waiting",
            datetime(2026, 11, 13, tzinfo=UTC) + timedelta(days=7 * week),
        )
        for week in range(weeks)
    )
    agreement = AgreementStatus(
        *("msv-2026", 1, "Mapping modern slavery", date(2026, 9, 1), date(2027, 8, 31), True),
        *(2, 97_451, 7, date(2026, 9, 1), date(2026, 9, 7), 0),
        *(datetime(2027, 8, 31, 23, tzinfo=UTC), 1, "Europe/London", True),
        tuple(held(f"{place}-constabulary", table) for place in ("northumbria", "southumbria") for table in TABLES),
    )
    request = RequestStatus(
        "ab" * 32, "msv-2026", "west-yorkshire-police", "made", 0, weeks, 0, "Europe/London", windows
    )
    return StatusResult(
        *("university-of-the-north", "University of the North", role, "cd" * 32, NOW, 2),
        *((agreement,), (request,) if weeks else ()),
        tuple(
            FileStatus(f"extract-{n}.csv", "extract", "msv-2026", NOW + timedelta(days=n), "Europe/London")
            for n in range(files)
        ),
        12,
        (),
        (),
        ("load what comes: anpr-share load BUNDLE",),
        None,
    )


def shown(result: StatusResult, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    terminal.show(status_lines(result))
    return capsys.readouterr().out


@pytest.mark.parametrize("role", ["police", "university"])
@pytest.mark.parametrize("weeks", [0, 1, 52])
def test_status_is_one_screen_of_80_columns(
    role: str, weeks: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(status(role, weeks, files=weeks if role == "police" else 0), capsys, monkeypatch).splitlines()

    assert max(map(len, lines)) <= 80
    assert len(lines) < 34
    assert lines[-1] == "next: load what comes: anpr-share load BUNDLE"


def test_status_says_what_is_held_from_whom_and_what_goes_next(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = shown(status("university", 0), capsys, monkeypatch).splitlines()

    assert "  2 bundles loaded, 97,451 rows held" in told
    assert "  next deletion: 2 days of reads on 2027-09-01 00:00, in 327 days" in told
    at = told.index("  held from                          days  first       last        goes next")
    assert told[at + 1 : at + 5] == [
        "  northumbria-constabulary  reads    365   2026-09-01  2027-08-31  2027-09-01",
        "  northumbria-constabulary  targets                                2027-10-11",
        "  southumbria-constabulary  reads    365   2026-09-01  2027-08-31  2027-09-01",
        "  southumbria-constabulary  targets                                2027-10-11",
    ]


def test_status_says_the_first_of_much_that_is_overdue_and_how_much_more_there_is() -> None:
    told = status_lines(replace(status("police", 0), overdue=tuple(f"extract-{n}.csv" for n in range(50))))

    at = told.index("overdue: extract-0.csv")
    assert told[at + 5 : at + 7] == ["overdue: extract-5.csv", "and 44 more are overdue; --json lists them all"]


def test_status_says_how_long_ago_the_last_purge_was_once_it_is_days_ago() -> None:
    def line(**ago: int) -> object:
        return status_lines(replace(status("police", 0), last_purge=NOW - timedelta(**ago)))[3]

    assert status_lines(status("police", 0))[3] == "last purge: never"
    assert line(hours=71) == "last purge: 2026-10-05 17:30 UTC"
    assert line(days=9) == "last purge: 2026-09-29 16:30 UTC, 9 days ago"


def test_status_names_the_files_that_are_due_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = shown(status("police", 0, files=8), capsys, monkeypatch)

    assert "extract-0.csv         extract  2026-10-08 17:30 (Europe/London)" in told
    assert "extract-5.csv" in told
    assert "extract-6.csv" not in told
    assert "and 2 more; --json lists them all" in told


def test_status_names_the_windows_that_end_first_in_the_agreements_zone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = shown(status("university", 8), capsys, monkeypatch)

    assert "2026-09-07 to 2026-09-13  west-yorkshire-police  2026-11-13 00:00" in told
    assert "2026-10-12 to 2026-10-18" in told
    assert told.count("not over yet") == 2
    assert "and 2 more; --json lists them all" in told
