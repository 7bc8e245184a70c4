"""The pages of a feasibility check and of disclosure risk in a real browser: screen, paper, keyboard, read aloud."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from anpr_share.reports import feasibility_page, risk_page
from tests.support import feasibilities, risks
from tests.support.looking import DESK, PHONE, fits, fits_paper, printed_pages, reached_by_tab, stands_out

if TYPE_CHECKING:
    from tests.support.browser import Page

CHECKS: Final = [f"feasibility-{name}" for name in feasibilities.STORIES]
RISKS: Final = [f"risk-{name}" for name in risks.STORIES]
SPILT: Final = """
[...document.querySelectorAll('svg text')].map(item => item.getBoundingClientRect())
  .filter(box => box.left < 0 || box.right > innerWidth).length
"""
TINY: Final = "Math.min(...[...document.querySelectorAll('svg text')].map(item => item.getBoundingClientRect().height))"
OVERLAPPING: Final = """
[...document.querySelectorAll('svg')].flatMap(svg => {
  const boxes = [...svg.querySelectorAll('text')].map(item => [item.textContent, item.getBoundingClientRect()]);
  return boxes.flatMap(([name, a], i) => boxes.slice(i + 1).filter(([, b]) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4
  ).map(([other]) => `${name} on ${other}`));
})
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    texts = {f"feasibility-{name}": feasibility_page.page(made()) for name, made in feasibilities.STORIES.items()}
    texts |= {f"risk-{name}": risk_page.page(made()) for name, made in risks.STORIES.items()}
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


@pytest.mark.parametrize("name", [*CHECKS, *RISKS])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_page_never_scrolls_sideways_asks_for_nothing_and_says_nothing(
    name: str, width: int, shown: Page, files: dict[str, Path]
) -> None:
    fits(shown, files[name], width)


@pytest.mark.parametrize("name", [*CHECKS, *RISKS])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_words_of_a_chart_are_large_enough_in_sight_and_not_on_each_other(
    name: str, width: int, shown: Page, files: dict[str, Path]
) -> None:
    shown.open(files[name], width=width)

    assert shown.run(SPILT) == 0
    assert shown.run(OVERLAPPING) == []
    assert not shown.run("document.querySelector('svg')") or shown.run(TINY) > 10


@pytest.mark.parametrize("name", ["feasibility-usual", "feasibility-silent", "risk-above", "risk-first"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_every_text_stands_out_from_what_is_behind_it(
    name: str, scheme: str, width: int, shown: Page, files: dict[str, Path]
) -> None:
    assert stands_out(shown, files[name], width, scheme) > 100


@pytest.mark.parametrize(("name", "number"), [("feasibility-usual", 1), ("risk-usual", 15)])
def test_the_tab_key_reaches_everything_that_can_be_used_in_order(
    name: str, number: int, shown: Page, files: dict[str, Path]
) -> None:
    assert reached_by_tab(shown, files[name], PHONE) == number


@pytest.mark.parametrize("name", [*CHECKS, *RISKS])
def test_paper_is_white_whole_and_as_wide_as_a4(name: str, shown: Page, files: dict[str, Path]) -> None:
    fits_paper(shown, files[name])


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "feasibility-huge"])
def test_what_may_be_shared_prints_on_one_page_of_a4(name: str, shown: Page, files: dict[str, Path]) -> None:
    assert printed_pages(shown, files[name]) == 1


@pytest.mark.parametrize(("name", "most"), [("feasibility-huge", 2), ("risk-usual", 4), ("risk-first", 3)])
def test_the_others_print_on_few_pages(name: str, most: int, shown: Page, files: dict[str, Path]) -> None:
    assert printed_pages(shown, files[name]) <= most


def test_a_screen_reader_is_told_of_landmarks_headings_tables_and_what_the_charts_show(
    shown: Page, files: dict[str, Path]
) -> None:
    shown.open(files["feasibility-usual"], width=DESK)
    told = shown.accessible()

    assert {"banner", "main"} <= {role for role, _ in told}
    assert ("heading", "Go ahead, but only if what stands below is so") in told
    assert {name for role, name in told if role == "table"} == {
        "Vehicles and rows left after each step not told: from 1 to 9, or a count that gives such a one away",
        "Vehicles left, counting what the extracts hold today",
        "Alerts that are right (false ones for each true one) if 9 in 10 vehicles sought are found",
    }
    images = [name for role, name in told if role == "image"]
    assert images[0] == (
        "Line of vehicles left: today 51; after 30 days 43; after 60 days 34; after 90 days 27; after 120 days 19; "
        "after 180 days fewer than 10, or not told"
    )
    assert images[1].startswith("Lines of the share of alerts that are right")


def test_a_screen_reader_is_told_of_unicity_in_words(shown: Page, files: dict[str, Path]) -> None:
    shown.open(files["risk-usual"], width=DESK)
    told = shown.accessible()
    images = [name for role, name in told if role == "image"]

    assert {"banner", "navigation", "main", "contentinfo"} <= {role for role, _ in told}
    assert len(images) == 4
    assert images[0].startswith("in this release: all vehicles. Lines of the share identified")
    assert "minute 1: 11.4%, 2: 61.2%, 3: 84.6%, 4: 91.3%, 5: 93.4%, 6: 94.1%; 15 minutes" in images[0]
    assert all(name for role, name in told if role == "table")
