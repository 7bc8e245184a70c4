"""What is shared of a feasibility check: on one page, with what is left out left out."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import get_args

import pytest

from anpr_share.feasibility import funnel
from anpr_share.feasibility.base_rate import predictive_value
from anpr_share.feasibility.figures import Basis, Code, Condition, Shared
from anpr_share.reports import feasibility_words as words
from anpr_share.reports.feasibility_page import page
from anpr_share.tables.phrases import PHRASES
from anpr_share.tables.profile import StepName
from tests.support.feasibilities import STORIES, points, silent, unknown_words, usual, without_reads
from tests.support.html import Document, sound

REASONS = tuple(code for codes in funnel.REASONS.values() for code in codes)


@pytest.fixture(scope="module", params=STORIES)
def story(request: pytest.FixtureRequest) -> tuple[Shared, str]:
    shared = STORIES[request.param]()
    return shared, page(shared)


def rows(text: str) -> list[str]:
    return [row for _, row in Document(text).all("tr")]


def told(value: int | None) -> str:
    return "not told" if value is None else f"{value:,}"


def test_the_page_is_one_sound_document_that_fetches_and_runs_nothing(story: tuple[Shared, str]) -> None:
    sound(story[1])

    assert len(story[1]) < 60_000


def test_every_step_has_its_row_with_what_is_left_and_why(story: tuple[Shared, str]) -> None:
    shared, text = story
    found = rows(text)

    assert f"In the extract{'?' if shared.vehicles is None else ''}{told(shared.vehicles)}{told(shared.rows)}" in found
    for number, step in enumerate(shared.steps, 2):
        numbers = f"{'?' if step.vehicles is None else ''}{told(step.vehicles)}{told(step.rows)}"
        assert numbers in found[number]
        if not step.judged:
            assert found[number].endswith("not judged: the extract does not tell")
        for item in step.reasons:
            counted = f"{told(item.vehicles)} ({told(item.rows)})"
            counted = "not told" if (item.rows, item.vehicles) == (None, None) else counted
            assert f"{counted}: {words.reason(item.code)}" in found[number]


def test_every_other_figure_is_on_the_page(story: tuple[Shared, str]) -> None:
    shared, text = story
    document = Document(text)
    unknown = words.untold(shared.settings.small_below)

    for point in shared.points:
        name = "Today" if point.days == 0 else f"{point.days} days"
        number = unknown if point.vehicles is None else f"{point.vehicles:,}"
        assert any(row.startswith(name + number) for row in rows(text))
        assert number in document.text
    for value in (shared.reads, shared.vehicles_in_reads, shared.settings.vehicles_needed):
        assert value is None or f"{value:,}" in document.text
    assert f"{shared.first} to {shared.last}" in document.text
    assert f"{shared.settings.paperwork_days} days of paperwork" in document.text
    assert f"Counts from 1 to {shared.settings.small_below - 1} are left out" in document.text
    for condition in shared.conditions:
        assert words.CONDITIONS[condition] in document.text


@pytest.mark.parametrize("code", get_args(Code))
def test_the_verdict_stands_on_top_in_a_sentence(code: Code) -> None:
    document = Document(page(replace(usual(), code=code)))

    assert document.all("h2")[0][1].lower() == words.HEADLINES[code]


def test_a_verdict_whose_conditions_are_suppressed_promises_none() -> None:
    document = Document(page(replace(usual(), code="go-if", conditions=())))

    assert document.all("h2")[0][1].lower() == words.NEITHER
    assert document.all("h2")[0][1][0].isupper()
    assert document.all("p")[1][1].startswith("Verdict: ")
    assert "Vehicles that pass every step today: 51. Left of them after 90 days of paperwork: 27. Needed: 30." in (
        document.text
    )


def charts(text: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", text, re.DOTALL)


def test_a_point_that_is_not_told_has_a_question_mark_and_words_and_is_not_drawn_as_none() -> None:
    race = charts(page(usual()))[0]

    assert race.count('class="untold"') == 1
    assert race.count('transform="translate(') == 5
    assert "after 180 days fewer than 10, or not told" in race


def test_where_today_is_not_told_no_line_is_drawn() -> None:
    text = page(silent())

    assert len(charts(text)) == 1
    assert "Vehicles that pass every step today: fewer than 10, or not told." in Document(text).text
    assert "is left out (fewer than 10, or not told), and so is how many would be left later" in Document(text).text


def test_where_every_count_is_left_out_no_step_has_a_number() -> None:
    steps = 1 + len(silent().steps)
    cells = [cell for _, cell in Document(page(silent())).all("td")][: 4 * steps]

    assert {*cells[1::4], *cells[2::4]} == {"not told"}
    assert {*cells[0::4]} == {"?"}


def test_the_prevalence_is_told_only_where_both_its_counts_are() -> None:
    found = "Found here: 51 of 1,204,377 vehicles in the reads, 1 in 23,615"

    assert found in Document(page(usual())).text
    for less in (
        replace(usual(), points=points(None, 43, 34, 27, 19, None)),
        replace(usual(), points=()),
        replace(usual(), vehicles_in_reads=None),
        replace(usual(), points=points(0, 0, 0, 0, 0, 0)),
        without_reads(),
        replace(without_reads(), vehicles_in_reads=1_204_377),
        replace(usual(), vehicles_in_reads=50),
    ):
        text = Document(page(less)).text
        assert "Found here" not in text
        assert "is not known here, or not told" in text


@pytest.mark.parametrize(
    ("one_in", "specificity", "wanted"),
    [
        (Fraction(400), Fraction(9, 10), Fraction(1, 1 + Fraction(399, 9))),
        (Fraction(400), Fraction(999, 1000), Fraction(900, 900 + 399)),
        (Fraction(80_000, 3), Fraction(9999, 10000), Fraction(27_000, 27_000 + 79_997)),
        (Fraction(1), Fraction(1, 2), Fraction(1)),
    ],
)
def test_the_share_of_alerts_that_are_right_is_exact(one_in: Fraction, specificity: Fraction, wanted: Fraction) -> None:
    assert predictive_value(1 / one_in, Fraction(9, 10), specificity) == wanted


def test_the_table_of_alerts_is_that_of_the_literature() -> None:
    """The figures of the domain facts: 1 in 400 and 1 in 26,667, nine in ten found."""
    text = page(without_reads())

    assert rows(text)[-6:] == [
        "1 in 10 (90%)2.2% (44.3)<0.1% (2,963)",
        "1 in 100 (99%)18.4% (4.4)0.3% (296)",
        "1 in 1,000 (99.9%)69.3% (0.4)3.3% (29.6)",
        "1 in 10,000 (99.99%)95.8% (<0.1)25.2% (3.0)",
        "1 in 100,000 (99.999%)99.6% (<0.1)77.1% (0.3)",
        "For 50% right1 in 443(99.78%)1 in 29,629(99.9967%)",
    ]


def test_every_name_has_words_and_one_that_is_not_known_is_told_by_itself() -> None:
    assert set(words.STEPS) == set(get_args(StepName))
    assert set(words.CONDITIONS) == set(get_args(Condition))
    assert set(words.HEADLINES) == set(get_args(Code))
    assert set(words.BASES) == set(get_args(Basis))
    for code in REASONS:
        assert code in words.REASONS or code in PHRASES
    assert words.reason("log-missing") == PHRASES["log-missing"].meaning
    assert words.reason("not-yet-known") == "not yet known"


def test_hostile_text_is_shown_and_never_obeyed() -> None:
    text = page(unknown_words())

    assert "<script" not in text
    assert "<script>alert(1)</script>".replace("-", " ") in Document(text).text
    assert r"<b>not-yet\u202e</b>" in Document(text).text
    assert "{{ 7 * 7 }}" in Document(text).text


def test_it_never_speaks_of_anonymous_data(story: tuple[Shared, str]) -> None:
    assert "anonym" not in story[1].lower()
