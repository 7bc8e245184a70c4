"""The page of an audit in a real browser: as it is seen, printed, reached by keyboard and read aloud."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from anpr_share.reports.audit_page import page
from tests.support import audits
from tests.support.looking import (
    DESK,
    FAINT,
    PHONE,
    UNFOLD,
    fits,
    fits_paper,
    printed_pages,
    reached_by_tab,
    stands_out,
)

if TYPE_CHECKING:
    from tests.support.browser import Page

STORIES: Final = {"clean": audits.clean, "breaches": audits.breaches, "large": audits.large, "hostile": audits.hostile}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, story in STORIES.items():
        (folder / f"{name}.html").write_text(page(story()), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in STORIES}


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_page_never_scrolls_sideways_asks_for_nothing_and_says_nothing(
    name: str, width: int, shown: Page, files: dict[str, Path]
) -> None:
    fits(shown, files[name], width)


@pytest.mark.parametrize("name", ["clean", "breaches"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_every_text_stands_out_from_what_is_behind_it(
    name: str, scheme: str, width: int, shown: Page, files: dict[str, Path]
) -> None:
    assert stands_out(shown, files[name], width, scheme) > 1000


def test_the_check_of_contrast_sees_a_faint_text(shown: Page, files: dict[str, Path]) -> None:
    shown.open(files["clean"], width=DESK)
    shown.run("document.querySelector('h1').style.color = '#999'")

    assert shown.run(FAINT)["faint"] == ["H1. 2.85"]


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_tab_key_reaches_everything_that_can_be_used_in_order(
    width: int, shown: Page, files: dict[str, Path]
) -> None:
    assert reached_by_tab(shown, files["breaches"], width) > 15


def test_the_keyboard_unfolds_what_is_folded(shown: Page, files: dict[str, Path]) -> None:
    shown.open(files["large"], width=DESK)
    shown.run("document.querySelector('summary').focus()")
    rows = "document.querySelector('details li').checkVisibility()"
    assert not shown.run(rows)

    shown.press("Enter")

    assert shown.run(rows)


@pytest.mark.parametrize("name", STORIES)
def test_paper_is_white_whole_and_as_wide_as_a4(name: str, shown: Page, files: dict[str, Path]) -> None:
    fits_paper(shown, files[name])


@pytest.mark.parametrize(("name", "most"), [("clean", 12), ("breaches", 14), ("large", 60)])
def test_it_prints_on_a_sensible_number_of_pages_of_a4(
    name: str, most: int, shown: Page, files: dict[str, Path]
) -> None:
    assert 2 < printed_pages(shown, files[name]) <= most


def test_a_screen_reader_is_told_of_landmarks_headings_tables_and_months(shown: Page, files: dict[str, Path]) -> None:
    shown.open(files["breaches"], width=DESK)
    shown.run(UNFOLD)

    told = shown.accessible()
    tables = [name for role, name in told if role == "table"]

    assert {"banner", "navigation", "main", "contentinfo"} <= {role for role, _ in told}
    assert ("heading", "Rules were broken") in told
    assert ("heading", "Calendar of every capture day") in told
    assert len(tables) == shown.run("document.querySelectorAll('table').length")
    assert all(tables)
    assert ("image", "July 2026: held 16 to 31; overdue 9, 10; destroyed in time 1 to 8, 11 to 15") in told
