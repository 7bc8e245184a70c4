"""The page of an audit in a real browser: as it is seen, printed, reached by keyboard and read aloud."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

if sys.platform == "win32":
    pytest.skip("the pipe to the browser is not for Windows", allow_module_level=True)

from anpr_share.reports.audit_page import page
from tests.support import audits
from tests.support.browser import Browser, Page, installed

PROGRAM = installed()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no chromium here")

STORIES: Final = {"clean": audits.clean, "breaches": audits.breaches, "large": audits.large, "hostile": audits.hostile}
DESK, PHONE, A4_WITHIN_MARGINS = 1280, 390, 695
"""Widths in CSS pixels."""

UNFOLD: Final = "document.querySelectorAll('details').forEach(item => { item.open = true })"
FAINT: Final = """
(() => {
  const parts = colour => [...colour.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const below = element => {
    if (element === null) return [255, 255, 255];
    const own = parts(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, below(element.parentElement));
  };
  const light = colour => {
    const [r, g, b] = colour.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = new Set();
  let seen = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    seen += 1;
    const ground = below(element), ink = over(parts(getComputedStyle(element).color), ground);
    const [dim, bright] = [light(ink), light(ground)].sort((a, b) => a - b);
    const ratio = (bright + 0.05) / (dim + 0.05);
    if (ratio < 4.5) faint.add(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
  }
  return {seen, faint: [...faint]};
})()
"""
REACHABLE: Final = (
    "[...document.querySelectorAll('a[href], summary, [tabindex]')].filter(item => item.checkVisibility())"
)
FOCUSED: Final = f"""
(() => {{
  const item = document.activeElement, style = getComputedStyle(item);
  return [{REACHABLE}.indexOf(item), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];
}})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with Browser(PROGRAM, tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, story in STORIES.items():
        (folder / f"{name}.html").write_text(page(story()), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in STORIES}


@pytest.fixture
def shown(browser: Browser) -> Iterator[Page]:
    with browser.page() as made:
        yield made


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_page_never_scrolls_sideways_asks_for_nothing_and_says_nothing(
    name: str, width: int, shown: Page, files: dict[str, Path]
) -> None:
    shown.open(files[name], width=width)
    shown.run(UNFOLD)

    assert shown.run("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
    assert shown.requested() == [files[name].as_uri()]
    assert shown.said() == []


@pytest.mark.parametrize("name", ["clean", "breaches"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_every_text_stands_out_from_what_is_behind_it(
    name: str, scheme: str, width: int, shown: Page, files: dict[str, Path]
) -> None:
    shown.open(files[name], width=width, scheme=scheme)
    shown.run(UNFOLD)
    paper = shown.run("getComputedStyle(document.body).backgroundColor")

    found = shown.run(FAINT)

    assert found["faint"] == []
    assert found["seen"] > 1000
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


def test_the_check_of_contrast_sees_a_faint_text(shown: Page, files: dict[str, Path]) -> None:
    shown.open(files["clean"], width=DESK)
    shown.run("document.querySelector('h1').style.color = '#999'")

    assert shown.run(FAINT)["faint"] == ["H1. 2.85"]


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_tab_key_reaches_everything_that_can_be_used_in_order(
    width: int, shown: Page, files: dict[str, Path]
) -> None:
    shown.open(files["breaches"], width=width)
    number = shown.run(f"{REACHABLE}.length")
    reached = []
    for _ in range(number):
        shown.press("Tab")
        reached.append(shown.run(FOCUSED))

    assert number > 15
    assert reached == [[index, True] for index in range(number)]


def test_the_keyboard_unfolds_what_is_folded(shown: Page, files: dict[str, Path]) -> None:
    shown.open(files["large"], width=DESK)
    shown.run("document.querySelector('summary').focus()")
    rows = "document.querySelector('details li').checkVisibility()"
    assert not shown.run(rows)

    shown.press("Enter")

    assert shown.run(rows)


@pytest.mark.parametrize("name", STORIES)
def test_paper_is_white_whole_and_as_wide_as_a4(name: str, shown: Page, files: dict[str, Path]) -> None:
    shown.open(files[name], width=A4_WITHIN_MARGINS, scheme="dark", media="print")

    assert shown.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert shown.run("document.documentElement.scrollWidth") == A4_WITHIN_MARGINS
    assert shown.run(
        "[...document.querySelectorAll('tr, li')].every(item => item.closest('nav') || item.checkVisibility())"
    )
    assert shown.run(FAINT)["faint"] == []


@pytest.mark.parametrize(("name", "most"), [("clean", 12), ("breaches", 14), ("large", 60)])
def test_it_prints_on_a_sensible_number_of_pages_of_a4(
    name: str, most: int, shown: Page, files: dict[str, Path]
) -> None:
    shown.open(files[name], width=DESK)

    printed = shown.pdf()

    assert printed.startswith(b"%PDF-")
    assert 2 < len(re.findall(rb"/Type\s*/Page\b", printed)) <= most
    assert {tuple(map(round, map(float, box))) for box in re.findall(rb"/MediaBox \[0 0 (\S+) (\S+)\]", printed)} == {
        (595, 842)
    }


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
