"""What a data protection officer is shown of disclosure risk."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from datetime import date
from typing import Any

import pytest

from anpr_share.reports.risk_page import page
from anpr_share.risk.figures import RiskResult
from anpr_share.words import brief_percent, percent
from tests.support.html import Document, sound
from tests.support.risks import STORIES, above, first, no_cameras, one_vehicle, usual


@pytest.fixture(scope="module", params=STORIES)
def story(request: pytest.FixtureRequest) -> tuple[RiskResult, str]:
    result = STORIES[request.param]()
    return result, page(result)


def test_the_page_is_one_sound_document_that_fetches_and_runs_nothing(story: tuple[RiskResult, str]) -> None:
    sound(story[1])

    assert len(story[1]) < 120_000


def figures(value: Any) -> list[str]:
    """Every figure of a result as the page writes it: counts with commas, shares in per cent."""
    if is_dataclass(value):
        return [text for field in fields(value) for text in figures(getattr(value, field.name))]
    if isinstance(value, tuple):
        return [text for item in value for text in figures(item)]
    if isinstance(value, bool):
        return []
    if isinstance(value, int):
        return [f"{value:,}"]
    if isinstance(value, float):
        return [brief_percent(value) if value <= 1 else f"{value:,.1f}".removesuffix(".0")]
    return [f"{value}"] if isinstance(value, date) else []


def test_every_figure_is_in_a_table_of_the_page(story: tuple[RiskResult, str]) -> None:
    result, text = story
    cells = "|".join(cell for _, cell in Document(text).all("td", "th"))
    found = set(re.findall(r"[<>]?[\d,.]*\d%?|\d{4}-\d\d-\d\d", cells))
    scopes = [scope for scope in (result.release, result.so_far) if scope is not None]

    for scope in scopes:
        wanted = set(figures(replace(scope, first=date(1, 1, 1), last=date(1, 1, 1)))) - {"0001-01-01"}
        assert wanted - found - {f"{points}" for points in range(1, 7)} - {"10"} == set()
        assert f"{scope.first} to {scope.last}" in cells
    assert set(figures(result.context)) - found - {"10"} == set()
    for item in result.choices:
        assert {f"{item.of:,}", *map(brief_percent, (item.unicity4, item.low, item.high, item.exposed))} <= found


def test_the_key_the_recommendation_the_notes_and_the_terms_are_on_the_page() -> None:
    result = usual()
    told = Document(page(result)).text.lower()

    for text in (*result.recommendation, *result.notes, *result.columns, "msv-2026, version 2, signed"):
        assert text.lower() in told
    assert "all 1,290,000,000 plates takes about 52 minutes on one core of this machine, at 412,337 a second" in told
    assert "3 bundles of 21 days, of which these extracts have reads of 21" in told
    assert "what was released before is not known here" in Document(page(first())).text.lower()


def first_of(text: str, tag: str, place: int = 0) -> str:
    return Document(text).all(tag)[place][1]


def test_the_headline_tells_both_shares_and_a_ceiling_goes_by_the_greater() -> None:
    result = usual()
    everybody = result.release.curves[0].curve[3].vehicles
    assert percent(result.release.curves[0].four.share) == "96.8%"
    text = page(result)

    assert first_of(text, "h2") == (
        f"Four places and times that somebody knows of a vehicle identify {percent(everybody.share)} of vehicles, "
        "and 96.8% of those seen so often"
    )
    assert "of those with four points or more, 96.0% to 97.5%, from 2,138 vehicles looked at" in text
    assert first_of(page(one_vehicle()), "h2").endswith("identify 100% of vehicles")
    assert first_of(page(no_cameras()), "h2").startswith("Four moments that somebody knows of a vehicle identify")


@pytest.mark.parametrize(
    ("ceiling", "so_far", "word"),
    [
        (None, True, "no ceiling is agreed"),
        ("0.5", True, "above the ceiling"),
        ("0.97", False, "within the ceiling"),
        ("0.97", True, "within the ceiling"),
        ("1", True, "within the ceiling"),
    ],
)
def test_the_ceiling_is_held_against_this_release_as_an_export_does(
    ceiling: str | None, so_far: bool, word: str
) -> None:
    result = usual()
    text = page(replace(result, ceiling=ceiling, so_far=result.so_far if so_far else None))

    assert first_of(text, "p", 1) == word
    assert ("Above the ceiling, export refuses." in text) == (word == "above the ceiling")


def test_the_agreed_choice_and_no_other_is_marked() -> None:
    rows = [row for attributes, row in Document(page(above())).all("tr") if attributes.get("class") == "agreed"]

    assert len(rows) == 1
    assert rows[0] == "► agreedthe minutevehicle, camera, captured_atevery vehicle184,20396.8%96.1% to 97.4%96.8%"


def test_a_sample_is_told_with_what_it_exposes_of_all_vehicles() -> None:
    rows = [row for _, row in Document(page(usual())).all("tr")]

    assert "nothe minutevehicle, camera, captured_at0.05 of vehicles9,21097.1%96.4% to 97.7%4.9%" in rows


def test_no_two_lines_of_a_chart_look_alike_and_each_has_its_name(story: tuple[RiskResult, str]) -> None:
    result, text = story
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    scopes = [scope for scope in (result.release, result.so_far) if scope is not None]
    # Of each body of reads one of all vehicles, and one of those alone that have so many points.
    drawn = [
        [sum(item is not None for item in shares) for shares in of]
        for scope in scopes
        for of in (
            [[one.vehicles for one in curve.curve] for curve in scope.curves],
            [[one.known for one in curve.curve] for curve in scope.curves],
        )
    ]

    assert len(drawings) == len(drawn)
    for drawing, points in zip(drawings, drawn, strict=True):
        lines = re.findall(r'<g class="line.*?</g>', drawing, re.DOTALL)
        dashes = [re.findall(r'stroke-dasharray="(.*?)"', line) for line in lines]
        markers = [set(re.findall(r'd="([^"]*)" transform', line)) for line in lines]
        names = [re.findall(r"<text .*?>(.*?)</text>", line) for line in lines]
        assert len(lines) == sum(count > 0 for count in points)
        assert len({dash for (dash,) in dashes}) == len({marker for (marker,) in markers}) == len(lines)
        assert len({name for (name,) in names}) == len(lines)
        assert [line.count('class="bar"') for line in lines] == [count for count in points if count]


def test_the_literature_stands_in_words_and_not_in_the_chart() -> None:
    told = Document(page(first())).text

    assert "1.5 million people, by hour and antenna, four points identified 95%" in told
    assert "among 60 million people, 93%" in told
    assert "Ours differs: a camera sees a vehicle only where it stands" in told
    assert "Whatever the figure, these are personal data." in told


def test_it_never_speaks_of_anonymous_data(story: tuple[RiskResult, str]) -> None:
    assert "anonym" not in story[1].lower()


def test_hostile_text_is_shown_and_never_obeyed() -> None:
    text = page(STORIES["hostile"]())
    told = Document(text).text

    assert "<script" not in text
    assert "<script>alert(1)</script>" in told
    assert "{{ 7 * 7 }} {% raw %} &amp;" in told
    assert r"\u202egnp.exe\u202c\u2066hidden" in told


@pytest.mark.parametrize(
    ("share", "told", "brief"),
    [
        (0.0, "0%", "0%"),
        (1.0, "100%", "100%"),
        (0.00004, "under 0.1%", "<0.1%"),
        (0.99996, "over 99.9%", ">99.9%"),
        (0.96849, "96.8%", "96.8%"),
    ],
)
def test_a_share_is_none_or_all_only_where_it_is(share: float, told: str, brief: str) -> None:
    assert percent(share) == told
    assert brief_percent(share) == brief


def test_without_cameras_nothing_is_counted_of_them() -> None:
    headings = [cell for _, cell in Document(page(no_cameras())).all("th")]

    assert [cell for cell in headings if "camera" in cell.lower()] == ["Cameras"]
    assert any("Days of a camera" in cell for _, cell in Document(page(first())).all("th"))
