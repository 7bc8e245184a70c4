"""What a person may write into the ledger: a purpose, a reason, a name; never a plate or a token.

Guarantees: text that :func:`check_purpose` passes is one printable line that holds no word, and no run of neighbouring
words, that vrm-1 reads as a plate of a particular family, and no run of 32 hexadecimal digits. Prose is let through:
a plate needs a digit, and small English words in lower case are no part of one ("in 2026", "to 10 per cent").
"""

from __future__ import annotations

import re
import unicodedata

from anpr_share.errors import PolicyError, UsageError
from anpr_share.vrm import PLATE_LIKE, canonicalise

MAX_CHARACTERS = 500
_WORD = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r"(?:[0-9a-f][\s:.-]?){32}", re.ASCII | re.IGNORECASE)
_MAX_PLATE = 10
_SMALL = """
a all an and any are as at be but by can day did do due for from had has he her him his i if in is it its may
me min my no nor not of off on one or our out over per she six so ten than the to two up us via was we who you
"""
_SMALL_WORDS = frozenset(_SMALL.split())


def check_purpose(text: str, what: str = "purpose") -> str:
    """Return ``text`` trimmed, if it may stand in the ledger.

    Raises :class:`UsageError` if it is empty, too long or not one printable line, and :class:`PolicyError` if it holds
    what may be a plate or a token. No message repeats any of it.
    """
    trimmed = text.strip()
    if not trimmed:
        raise UsageError(f"the {what} is empty", hint="say in a few words what this is for")
    if len(trimmed) > MAX_CHARACTERS or not trimmed.isprintable():
        raise UsageError(f"the {what} is not one line of printable text of at most {MAX_CHARACTERS} characters")
    plain = unicodedata.normalize("NFKC", trimmed)
    if _TOKEN.search(plain) or _holds_a_plate(plain):
        raise PolicyError(
            f"the {what} holds what may be a plate or a token, and those never enter the ledger",
            hint="leave it out; a number that only looks like one can be written in words",
        )
    return trimmed


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
