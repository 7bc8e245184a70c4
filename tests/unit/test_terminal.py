"""What is written to the terminal: tables, JSON, progress, questions."""

from __future__ import annotations

import json
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import pytest

from anpr_share import errors
from anpr_share.cli.common import Invocation
from anpr_share.reports import terminal


def test_bytes_have_no_json_form() -> None:
    with pytest.raises(TypeError, match="bytes"):
        terminal.as_json({"key": b"secret"})


def test_a_time_without_a_zone_has_no_json_form() -> None:
    with pytest.raises(TypeError, match="zone"):
        terminal.as_json(datetime(2026, 1, 1))  # noqa: DTZ001 # the fault that is tested


def test_a_fraction_is_a_number_in_json() -> None:
    assert json.loads(terminal.result_json("feasibility", 0, [Fraction(1, 400), Fraction(1)]))["result"] == [
        0.0025,
        1.0,
    ]


def test_a_table_fits_80_columns_and_cuts_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    terminal.show([terminal.Table(("rule", "rows"), [("long " * 40, 1234567), ("[bold]", 2)])])

    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("long") == 40
    assert "1,234,567" in out
    assert "[bold]" in out
    assert "\x1b" not in out


def narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both streams are a terminal of 40 columns; for the test's own phase, where pytest has put its streams."""
    monkeypatch.setenv("COLUMNS", "40")
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)


LONG = "purpose      to find regular journeys of vehicles that logs name"


def test_on_a_terminal_a_line_is_folded_between_words_under_its_beginning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow_terminal(monkeypatch)
    terminal.show([LONG])

    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 40
    assert all(line.startswith(" " * 13) and line[13] != " " for line in lines[1:])
    assert " ".join(" ".join(lines).split()) == " ".join(LONG.split())


def test_in_a_pipe_a_line_stays_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")

    terminal.show([LONG])

    assert capsys.readouterr().out == f"{LONG}\n"


def test_what_is_to_be_copied_is_never_folded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow_terminal(monkeypatch)
    terminal.show([terminal.Verbatim(LONG), "word" * 30])

    assert capsys.readouterr().out == f"{LONG}\n{'word' * 30}\n"


def test_a_hint_is_folded_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    narrow_terminal(monkeypatch)
    terminal.error("this is wrong", "see whether the name is right, and whether its folder exists")

    assert max(map(len, capsys.readouterr().err.splitlines())) < 40


def test_a_path_below_this_directory_is_shown_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert terminal.near(tmp_path / "a" / "b.json") == str(Path("a") / "b.json")
    assert terminal.near(tmp_path.parent / "b.json") == str(tmp_path.parent / "b.json")


def test_a_name_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show(["a\x1b[2Jb\u202ec\r"])

    assert capsys.readouterr().out == "a\\x1b[2Jb\\u202ec\\r\n"


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock says next, the first when the work begins."""
    times = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: times[0] if len(times) == 1 else times.pop(0))
    return times


def test_work_that_is_soon_done_shows_no_progress(seconds: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Invocation().progress() as progress:
        seconds[:] = [1.9]
        progress("1 row read")

    assert capsys.readouterr() == ("", "")


def test_a_log_gets_a_line_now_and_then(seconds: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Invocation().progress() as progress:
        for now in (10.0, 12.0, 19.9, 20.0):
            seconds[:] = [now]
            progress(f"{now} done")

    assert capsys.readouterr() == ("", "10.0 done\n20.0 done\n")


def test_a_terminal_gets_one_line_that_is_wiped_at_the_end(
    seconds: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Invocation().progress() as progress:
        for now in (3.0, 3.1, 4.0):
            seconds[:] = [now]
            progress(f"{now} done"[:6])

    assert capsys.readouterr() == ("", "\r3.0 do\r4.0 do\r      \r")


def test_quiet_shows_no_progress(seconds: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Invocation(quiet=True).progress() as progress:
        seconds[:] = [60.0]
        progress("1 row read")

    assert capsys.readouterr() == ("", "")


def test_a_question_needs_somebody_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    with pytest.raises(errors.UsageError) as caught:
        terminal.ask("sign this", instead="give --yes")
    assert caught.value.hint == "give --yes"
