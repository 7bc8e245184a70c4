"""A page as a program reads it, and what holds of every page of ours."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from typing import Final

VOID: Final = {"meta", "br", "link", "img", "input", "hr"}


class Document(HTMLParser):
    """Every element with its attributes, ancestors and text; wrong nesting is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.texts: list[list[str]] = []
        self._open: list[int] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute of <{tag}> twice"
        self.elements.append((tag, dict(attrs), tuple(self.elements[number][0] for number in self._open)))
        self.texts.append([])
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for number in self._open:
            self.texts[number].append(data)

    def all(self, *tags: str) -> list[tuple[dict[str, str | None], str]]:
        return [
            (attributes, " ".join("".join(text).split()))
            for (tag, attributes, _), text in zip(self.elements, self.texts, strict=True)
            if tag in tags
        ]

    @property
    def text(self) -> str:
        return " ".join(text for _, text in self.all("body"))


def sound(text: str) -> None:
    """A well-formed page in English, with headings and tables as they should be, that fetches and runs nothing."""
    document = Document(text)
    assert text.startswith("<!DOCTYPE html>")
    assert [attributes["lang"] for attributes, _ in document.all("html")] == ["en-GB"]
    assert len(document.all("main")) == len(document.all("h1")) == len(document.all("title")) == 1
    assert [character for character in text if not character.isprintable() and character != "\n"] == []
    _headings_leave_no_level_out(document)
    _every_table_has_a_caption_and_every_heading_cell_its_scope(document)
    _ids_are_unique_and_every_reference_has_its_target(document)
    _nothing_is_fetched_and_nothing_runs(document)


def _headings_leave_no_level_out(document: Document) -> None:
    levels = [int(tag[1]) for tag, _, _ in document.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def _every_table_has_a_caption_and_every_heading_cell_its_scope(document: Document) -> None:
    captions = [text for _, text in document.all("caption")]
    assert len(captions) == len(document.all("table")) > 0
    assert all(captions)
    assert {attributes.get("scope") for attributes, _ in document.all("th")} == {"row", "col"}


def _ids_are_unique_and_every_reference_has_its_target(document: Document) -> None:
    attributes = [found for _, found, _ in document.elements]
    ids = [found["id"] for found in attributes if "id" in found]
    targets = [found["aria-labelledby"] for found in attributes if "aria-labelledby" in found]
    links = [str(found["href"]) for found in attributes if "href" in found]
    assert [name for name, times in Counter(ids).items() if times > 1] == []
    assert {*targets, *(link.removeprefix("#") for link in links)} <= {*ids}
    assert all(link.startswith("#") for link in links)


def _nothing_is_fetched_and_nothing_runs(document: Document) -> None:
    style = "".join(text for _, text in document.all("style"))
    names = {name for _, attributes, _ in document.elements for name in attributes}
    policy = [attributes["content"] for attributes, _ in document.all("meta") if "http-equiv" in attributes]
    forbidden = {"script", "img", "link", "iframe", "object", "form", "image", "use", "foreignobject", "animate"}
    assert {tag for tag, _, _ in document.elements} & forbidden == set()
    assert {name for name in names if name.startswith("on") or name in {"src", "srcset", "action"}} == set()
    assert not re.search(r"url\(|@import|@font-face|expression", style)
    assert len(policy) == 1
    assert str(policy[0]).startswith("default-src 'none'; style-src 'unsafe-inline';")
