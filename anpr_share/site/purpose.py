"""What a person may write into the ledger: a purpose, a reason, a name; never a plate or a token.

Guarantees: text that :func:`check_purpose` passes is one printable line of which :mod:`anpr_share.wording` says that it
may be said again.
"""

from __future__ import annotations

from anpr_share.errors import PolicyError, UsageError
from anpr_share.wording import may_identify

MAX_CHARACTERS = 500


def check_purpose(text: str, what: str = "purpose") -> str:
    """Return ``text`` trimmed, if it may stand in the ledger.

    Raises :class:`UsageError` if it is empty, too long or not one printable line, and :class:`PolicyError` if it holds
    what may be a plate or a token. No message repeats any of it.
    """
    trimmed = text.strip()
    if not trimmed:
        raise UsageError(f"the {what} is empty", hint="say in a few words what this is for")
    if len(trimmed) > MAX_CHARACTERS or not trimmed.isprintable():
        raise UsageError(
            f"the {what} is not one line of printable text of at most {MAX_CHARACTERS} characters",
            hint="say it in one short sentence",
        )
    if may_identify(trimmed):
        raise PolicyError(
            f"the {what} holds what may be a plate or a token, and those never enter the ledger",
            hint="leave it out; a number that only looks like one can be written in words",
        )
    return trimmed
