"""The number of plates, against the patterns of vrm-1 themselves."""

from __future__ import annotations

import re
from collections import Counter
from itertools import product
from math import prod

import pytest

from anpr_share.risk.key_loss import PLATES, key_loss
from anpr_share.vrm import _LAYOUTS, _LEGAL, FAMILIES

# No pattern tells the letters of a class apart, so one of each stands for all: which of them there are, and how many.
LETTERS = {"A": 18, "D": 2, "I": 1, "J": 1, "O": 1, "Q": 1, "U": 1, "Z": 1}
DIGITS = {"0": 1, "1": 9}


def by_family(lengths: range) -> Counter[str]:
    """How many texts of these lengths have each family first, by trying one text of each kind."""
    found: Counter[str] = Counter()
    for length in lengths:
        for layout in _LAYOUTS[length]:
            for text in product(*(LETTERS if kind == "L" else DIGITS for kind in layout)):
                if match := _LEGAL.fullmatch("".join(text)):
                    found[str(match.lastgroup)] += prod((LETTERS | DIGITS)[character] for character in text)
    return found


def test_the_classes_are_all_letters_and_digits() -> None:
    assert (sum(LETTERS.values()), sum(DIGITS.values())) == (26, 10)


def test_the_plates_of_each_family_are_those_that_its_pattern_lets_through() -> None:
    assert by_family(range(2, 8)) == PLATES
    assert set(PLATES) == set(FAMILIES) - {"other"}


def test_short_plates_are_counted_one_by_one_too() -> None:
    every = [
        "".join(text) for length in (2, 3) for text in product("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", repeat=length)
    ]
    one_by_one = Counter(str(match.lastgroup) for text in every if (match := _LEGAL.fullmatch(text)))

    assert one_by_one == by_family(range(2, 4))


def test_no_pattern_tells_apart_what_stands_for_all() -> None:
    classes = re.findall(r"\[([^\]]+)\]", _LEGAL.pattern)
    for letters in ("ABCEFGHKLMNPRSTVWXY", "DX"):
        for found in classes:
            pattern = re.compile(f"[{found}]")
            assert found == "DX" or len({bool(pattern.fullmatch(letter)) for letter in letters}) == 1, found


def test_about_two_to_the_thirtieth_take_minutes() -> None:
    found = key_loss(1_000_000)

    assert found.plates == sum(PLATES.values())
    assert 2**30 < found.plates < 2**31
    assert found.minutes == pytest.approx(found.plates / 1_000_000 / 60)
