"""What ``risk`` says in a terminal: a sentence first, then every figure, in 80 columns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anpr_share.reports.risk import risk_lines
from anpr_share.reports.terminal import show
from anpr_share.risk.figures import RiskResult
from tests.support import risks

EVERY = {
    "usual": risks.usual,
    "first": risks.first,
    "above": risks.above,
    "no cameras": risks.no_cameras,
    "one vehicle": risks.one_vehicle,
}


def told(result: RiskResult, capsys: pytest.CaptureFixture[str]) -> str:
    show(risk_lines(result))
    return capsys.readouterr().out


@pytest.mark.parametrize("name", EVERY)
def test_it_fits_80_columns_and_never_calls_the_data_anonymous(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = EVERY[name]()
    out = told(replace(result, recommendation=(), notes=()), capsys)

    assert max(map(len, out.splitlines())) <= 80
    assert "anonym" not in out
    assert "whatever the figures, these are personal data" in out


def test_the_first_lines_are_what_an_officer_needs(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(risks.usual(), capsys).splitlines()

    assert lines[0] == "4 reads are enough to single out 91 of 100 vehicles (95% interval 91 to 92)"
    assert lines[1] == "of those that were seen so often, 97 of 100 (95% interval 96 to 98)"
    assert lines[2] == "that is above the agreement's ceiling, 95 of 100 (0.95): an export is refused"


def test_every_body_of_figures_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    out = told(risks.usual(), capsys)

    for text in (
        "agreement   msv-2026, version 2, signed",
        "released    3 bundles before, of 21 days",
        "this release:\n  3,418,276 reads of 184,203 vehicles at 212 cameras",
        "with what was released before:\n  10,912,400 reads of 402,118 vehicles at 212 cameras",
        "context of 212 cameras, so that 10 or more are alike:",
        "  that joins 171,004 of 184,203 vehicles, and 99 of 100 reads",
        "52 minutes by one core of this machine (0.4 million a second)",
        "- times to 15 minutes tell journeys as well for this purpose",
        "note: the days 2026-11-16 to 2026-11-22 are not yet released",
    ):
        assert text in out, text


def test_without_cameras_nothing_is_said_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    out = told(risks.no_cameras(), capsys)

    for text in ("at 212", "cameras", "days at a camera"):
        assert text not in out.partition("ways to release")[0].replace("no camera", ""), text


def test_a_release_under_its_ceiling_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    out = told(replace(risks.usual(), ceiling="0.99"), capsys)

    assert out.splitlines()[2] == "that keeps under the agreement's ceiling, 99 of 100 (0.99)"


def test_without_a_ceiling_it_is_told_that_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    out = told(replace(risks.usual(), ceiling=None), capsys)

    assert out.splitlines()[2] == "the agreement sets no ceiling, so no export is refused for this"


def test_a_large_median_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    usual = risks.usual()
    assert usual.release.by_camera is not None
    busy = replace(usual.release, by_camera=replace(usual.release.by_camera, median=1_234_567.5))

    assert "1,234,567.5" in told(replace(usual, release=busy), capsys)


def test_where_no_context_may_leave_it_is_told_why(capsys: pytest.CaptureFixture[str]) -> None:
    usual = risks.usual()
    assert usual.context is not None
    few = replace(usual.context, cameras=9, rare=9, after=0, smallest=0, coarser=0, left_out=9)

    out = told(replace(usual, context=few), capsys)

    assert "  nothing released: there are fewer cameras than must be alike" in out
    assert "0 combinations" not in out
