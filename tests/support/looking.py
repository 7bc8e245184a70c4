"""Looking at a page in a browser as people do: on a desk, on a phone, on paper, by keyboard, in any light."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

if sys.platform == "win32":
    pytest.skip("the pipe to the browser is not for Windows", allow_module_level=True)

from tests.support.browser import Browser, Page, installed

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


@contextmanager
def opened(profile: Path) -> Iterator[Browser]:
    """The browser; the test is skipped if there is none."""
    program = installed()
    if program is None:
        pytest.skip("no chromium here")
    with Browser(program, profile) as made:
        yield made


def fits(shown: Page, file: Path, width: int) -> None:
    """Nothing makes the page scroll sideways; it asks for nothing else, and nothing of it is refused."""
    shown.open(file, width=width)
    shown.run(UNFOLD)
    assert shown.run("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
    assert shown.requested() == [file.as_uri()]
    assert shown.said() == []


def stands_out(shown: Page, file: Path, width: int, scheme: str) -> int:
    """Every text stands out from what is behind it, on paper that is white by day alone. How many texts there are."""
    shown.open(file, width=width, scheme=scheme)
    shown.run(UNFOLD)
    paper = shown.run("getComputedStyle(document.body).backgroundColor")
    found = shown.run(FAINT)
    assert found["faint"] == []
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    return int(found["seen"])


def reached_by_tab(shown: Page, file: Path, width: int) -> int:
    """The tab key reaches everything that can be used, in order, and shows where it is. How much there is."""
    shown.open(file, width=width)
    number = int(shown.run(f"{REACHABLE}.length"))
    reached = []
    for _ in range(number):
        shown.press("Tab")
        reached.append(shown.run(FOCUSED))
    assert reached == [[index, True] for index in range(number)]
    return number


def fits_paper(shown: Page, file: Path) -> None:
    """On paper the page is white, as wide as A4, and whole, whatever the screen is like."""
    shown.open(file, width=A4_WITHIN_MARGINS, scheme="dark", media="print")
    assert shown.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert shown.run("document.documentElement.scrollWidth") == A4_WITHIN_MARGINS
    assert shown.run(
        "[...document.querySelectorAll('tr, li')].every(item => item.closest('nav') || item.checkVisibility())"
    )
    assert shown.run(FAINT)["faint"] == []


def printed_pages(shown: Page, file: Path) -> int:
    """The number of pages that it takes, each of them A4."""
    shown.open(file, width=DESK)
    printed = shown.pdf()
    assert printed.startswith(b"%PDF-")
    boxes = re.findall(rb"/MediaBox \[0 0 (\S+) (\S+)\]", printed)
    assert {tuple(map(round, map(float, box))) for box in boxes} == {(595, 842)}
    return len(re.findall(rb"/Type\s*/Page\b", printed))
