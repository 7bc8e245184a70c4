"""Links lead somewhere, tests that are named exist, and the data are nowhere called what they are not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s#]+)(?:#[^)]*)?\)")
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(text_of(page)) if "://" not in target]

    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_test_that_is_named_exists(page: Path) -> None:
    missing = []
    for file, function in NAMED_TEST.findall(text_of(page)):
        path = ROOT / file
        functions = (
            {node.name for node in ast.walk(ast.parse(text_of(path))) if isinstance(node, ast.FunctionDef)}
            if path.is_file()
            else set()
        )
        if not functions or (function and function not in functions):
            missing.append(f"{file}::{function}")

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_data_are_never_called_anonymous(page: Path) -> None:
    for sentence in re.split(r"(?<=[.:|])\s", CODE.sub("", text_of(page))):
        if re.search(r"anonym", sentence, re.IGNORECASE):
            assert re.search(r"\b(not|never|nor|cannot)\b|k-anonymity", sentence, re.IGNORECASE), sentence


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_has_one_title_and_closes_its_blocks(page: Path) -> None:
    text = text_of(page)

    assert len(re.findall(r"^# ", CODE.sub("", text), re.MULTILINE)) == 1
    assert text.count("```") % 2 == 0
    assert text.endswith("\n")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_stands_without_anything_outside_the_repository(page: Path) -> None:
    assert re.findall(r"\.\./shared|(?<![\w.])/(?:work|home|tmp)/", text_of(page)) == []


def test_every_page_is_found_from_the_index() -> None:
    seen: set[Path] = set()
    left = [ROOT / "docs" / "README.md", ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        left += [(page.parent / target).resolve() for target in LINK.findall(text_of(page)) if "://" not in target]

    assert [name(page) for page in PAGES if page.resolve() not in seen and page.parent.name != "benchmarks"] == []


def test_every_decision_has_its_number_once_and_says_what_it_costs() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))

    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    assert [page.name for page in pages if "**Costs.**" not in text_of(page)] == []
