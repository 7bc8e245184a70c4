"""The one JSON encoding of signed documents and ledger lines.

Guarantees: a value has exactly one encoding, and :func:`decode` accepts only that encoding. Keys are sorted by code
point, separators are ``,`` and ``:``, non-ASCII text is unescaped UTF-8; there are no floats, no NaN, no duplicate
keys, no integers beyond 63 bits and at most 16 levels of nesting. So a document that was changed in any byte is either
different in meaning or refused.
"""

from __future__ import annotations

import json
from typing import NoReturn

from anpr_share.errors import FormatError

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 16
MAX_CONTAINERS = 100_000
"""Objects and lists of one document: five times what the largest manifest has, and what a parser can hold easily."""
MAX_INTEGER = 2**63 - 1
_LONGEST_INTEGER = len(str(-MAX_INTEGER))


def encode(value: object) -> bytes:
    """Return the canonical UTF-8 JSON of a value made of dict, list, tuple, str, int, bool and None.

    Raises :class:`TypeError` for anything else (floats above all), and :class:`FormatError` for what :func:`decode`
    would refuse: text that is not valid Unicode, an integer out of range, a value nested too deep.
    """
    _require_plain(value, MAX_DEPTH)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise FormatError("a text holds a lone surrogate, which is not valid Unicode") from None


def decode(data: bytes, *, limit: int = MAX_BYTES) -> object:
    """Parse canonical JSON of at most ``limit`` bytes. Raises :class:`FormatError` for any other bytes."""
    if len(data) > limit:
        raise FormatError(f"a document is larger than {limit} bytes")
    # Counted before the parser makes half a gigabyte of a few megabytes of brackets; those in texts count too.
    if data.count(b"{") + data.count(b"[") > MAX_CONTAINERS:
        raise FormatError(f"a document holds more than {MAX_CONTAINERS} objects and lists")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_refuse_number,
            parse_int=_integer,
            parse_constant=_refuse_number,
        )
    except (ValueError, RecursionError):
        raise FormatError("a document is not valid UTF-8 JSON, or is nested far too deep") from None
    if encode(value) != data:
        raise FormatError("a document is not in canonical form")
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise FormatError("a document holds a key twice")
    return result


def _integer(text: str) -> int:
    # The length first: Python is slow at integers of many digits, and refuses those of thousands.
    if len(text) > _LONGEST_INTEGER:
        raise _out_of_range()
    return int(text)


def _out_of_range() -> FormatError:
    return FormatError("a document holds a number out of range")


def _refuse_number(_text: str) -> NoReturn:
    raise FormatError("a document holds a number that is not an integer")


def _require_plain(value: object, depth: int) -> None:
    if value is None or isinstance(value, str):
        return
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise _out_of_range()
        return
    if not isinstance(value, dict | list | tuple):
        raise TypeError(f"{type(value).__name__} has no place in a document")
    if depth == 0:
        raise FormatError(f"a document is nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("keys of a document are text")
        value = list(value.values())
    for item in value:
        _require_plain(item, depth - 1)
