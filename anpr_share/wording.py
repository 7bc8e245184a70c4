"""What may be said again: text that a person typed, unless it holds what may be a plate or a token.

Guarantees: text that :func:`may_identify` lets through holds no word, and no run of neighbouring words, that vrm-1
reads as a plate of a particular family, no plate glued to other letters in one word ("carab12cde"), and no run of 32
hexadecimal digits. Where the case changes within a word ("carAB12"), another word is taken to begin. Prose is let
through: a plate needs a digit, and small English words in lower case are no part of one ("in 2026", "to 10 per cent").

What is glued without a change of case is sought less widely, because among letters there are plates in much that is
none ("run 12 october" holds UN12OCT). It passes with one digit alone ("xa1bcd"), with O for 0 or I for 1, if its four
digits are a year of ours, and if a space divides it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from anpr_share.vrm import PLATE_LIKE, canonicalise

if TYPE_CHECKING:
    from pathlib import PurePath

_WORD = re.compile(r"[^\W_]+")
_CASES = re.compile(r"[^\Wa-z]+|[^\WA-Z]+")
_GLUED = re.compile(
    r"""
    [A-HJ-PR-Y]{2} [0-9]{2} [A-HJ-PR-Z]{3}                          # current
    | [A-HJ-NPQRSTV-Y] [1-9][0-9]{1,2} [A-HJ-PR-Y]{3}               # prefix, q
    | [A-HJ-PR-Y]{3} [1-9][0-9]{1,2} [A-HJ-NPR-TV-Y]                # suffix
    | (?=[A-Z]{0,2}[IZ]) [A-PR-Z]{2,3} (?!(?:19|20)[0-9]{2}(?![0-9])) [1-9][0-9]{2,3} (?![0-9])
    | (?<![0-9]) (?!(?:19|20)[0-9]{2}[A-Z]) [1-9][0-9]{2,3} (?=[A-Z]{0,2}[IZ]) [A-PR-Z]{2,3}
    """,
    re.ASCII | re.VERBOSE,
)
"""A plate of a particular family anywhere within a word."""
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


def spoken_path(path: PurePath) -> str:
    """Where a file lies, for whoever must find it on this machine; its name alone if a folder may identify somebody."""
    name = spoken_name(path)
    safe = all(part.isprintable() and not may_identify(part) for part in path.parent.parts)
    return str(path) if name == path.name and safe else name


def _holds_a_plate(text: str) -> bool:
    found = _WORD.findall(text)
    if any(_GLUED.search(word.upper()) for word in found):
        return True
    words = [piece for word in found for piece in _pieces(word)]
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


def _pieces(word: str) -> list[str]:
    """A word that changes its case within, as "carAB12" does, in pieces; any other as it is."""
    return [word] if word in {word.lower(), word.upper(), word.capitalize()} else _CASES.findall(word)
