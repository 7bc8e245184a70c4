"""What may be said again: text that a person typed, unless it holds what may be a plate or a token.

Guarantees: text that :func:`may_identify` lets through holds no word, and no run of neighbouring words, that vrm-1
reads as a plate of a particular family, and no run of 32 hexadecimal digits. Prose is let through: a plate needs a
digit, and small English words in lower case are no part of one ("in 2026", "to 10 per cent").
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from anpr_share.vrm import PLATE_LIKE, canonicalise

if TYPE_CHECKING:
    from pathlib import PurePath

_WORD = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r"(?:[0-9a-f][\s:.-]?){32}", re.ASCII | re.IGNORECASE)
_MAX_PLATE = 10
_SMALL = """
a all an and any are as at be but by can day did do due for from had has he her him his i if in is it its may
me min my no nor not of off on one or our out over per she six so ten than the to two up us via was we who you
"""
_SMALL_WORDS = frozenset(_SMALL.split())
_MAX_NAME = 255
_ENDINGS = re.compile(r"(?:\.(?:csv|txt|gz|zip|parquet|toml|json|jsonl|anpr|html|part))+\Z", re.ASCII | re.IGNORECASE)
"""Endings of file names: with one, "f1.csv" would be read as a plate."""


def may_identify(text: str) -> bool:
    """Whether a text holds what may be a plate or a token."""
    plain = unicodedata.normalize("NFKC", text)
    return _TOKEN.search(plain) is not None or _holds_a_plate(plain)


def spoken_name(path: PurePath) -> str:
    """A file's name as messages may have it, without its folder; "the file" if it may identify somebody, as when a
    plate was typed where a name belongs, or does not print.
    """
    name = path.name
    if not name or not name.isprintable() or len(name) > _MAX_NAME or may_identify(_ENDINGS.sub("", name)):
        return "the file"
    return name


def _holds_a_plate(text: str) -> bool:
    words = _WORD.findall(text)
    for start in range(len(words)):
        joined = ""
        for word in words[start:]:
            if word in _SMALL_WORDS or (word.capitalize() == word and len(word) > 1 and word.lower() in _SMALL_WORDS):
                break
            joined += word
            if len(joined) > _MAX_PLATE:
                break
            # Without a digit it is a word: read as O/0 and I/1, "avoided" is a legal mark.
            if any(character.isdigit() for character in joined) and canonicalise(joined).family in PLATE_LIKE:
                return True
    return False
