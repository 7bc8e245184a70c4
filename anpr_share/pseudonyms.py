"""Tokens: keyed hashes that stand for a vehicle, a camera or a log within one agreement.

Guarantees:

- A token is the first 16 bytes of HMAC-SHA-256 under a key of its own field, in lower-case hex. Fields' keys derive
  from the agreement's linkage key by HKDF, so tokens of two fields, two sites' cameras or two agreements say nothing
  of one another. The constructions are those of ``docs/spec/rules-v1.md``; cases are in
  ``docs/spec/vectors/tokens-1.json``.
- Only what vrm-1 calls ``ok`` gets a vehicle token: a constant token for missing plates would link strangers.
- A key never shows: its ``repr`` is redacted, it cannot be pickled or copied, and two are compared by their `check`.
  No message holds a plate, a token, a camera or a key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NoReturn

from anpr_share.errors import UsageError
from anpr_share.vrm import canonicalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

__all__ = [
    "LinkageKey",
    "camera_message",
    "is_identifier",
    "netstring",
    "sample_threshold",
    "site_id_of",
    "validate_identifier",
]

SECRET_BYTES: Final = 32
TOKEN_BYTES: Final = 16
CHECK_BYTES: Final = 8
SAMPLE_BYTES: Final = 8
_BLOCK_BYTES: Final = 64  # of SHA-256

# Unicode's White_Space property; `str.strip()` without an argument would also take U+001C to U+001F.
_WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
ALIKE_BYTES: Final = bytes.maketrans(b"ODQIZSGB", b"00012568")

_IDENTIFIER: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_IDENTIFIER_WORD: Final = re.compile(r"[a-z0-9]+")
_IDENTIFIER_LENGTH: Final = 64
_DEVICE_NAMES: Final = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))]
)
_RATE: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,30})?")


def _text(series: object) -> pl.Series:
    """A column as String: of text in any form, or of nulls alone. Raises UsageError for any other."""
    import polars as pl

    if not isinstance(series, pl.Series) or series.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        raise UsageError(
            "the column is not text", hint="cast it to String; of numbers only whole ones, since 7 and 7.0 differ"
        )
    return series.cast(pl.String)


def is_identifier(text: str) -> bool:
    """Whether ``text`` can name an agreement or a site: words of ``a-z0-9`` joined by hyphens, at most 64 characters.

    The names of Windows devices (``con``, ``com1`` ...) are not identifiers, because identifiers name directories.
    """
    return len(text) <= _IDENTIFIER_LENGTH and _IDENTIFIER.fullmatch(text) is not None and text not in _DEVICE_NAMES


def site_id_of(name: str) -> str:
    """The id of a site of this name: in lower case, without accents, its words of ``a-z0-9`` joined by hyphens.

    It may be none that `is_identifier`: empty, too long, or a device's name.
    """
    parts = unicodedata.normalize("NFKD", name.lower())
    return "-".join(_IDENTIFIER_WORD.findall("".join(part for part in parts if not unicodedata.combining(part))))


def validate_identifier(text: str) -> None:
    """Raise UsageError unless ``text`` `is_identifier`."""
    if not is_identifier(text):
        raise UsageError(
            "an identifier is not lower-case letters and digits joined by hyphens, at most 64 characters",
            hint="write for example msv-2026; names of Windows devices, such as con or com1, are not allowed",
        )


def netstring(*parts: bytes) -> bytes:
    """The parts as netstrings (``5:CAM-1,``), concatenated: no two lists of parts give the same bytes."""
    return b"".join(b"%d:%b," % (len(part), part) for part in parts)


def camera_message(parts: Sequence[str | None]) -> bytes | None:
    """What is hashed for a camera: its parts trimmed, NFC, UTF-8, as netstrings. None when every part is empty.

    Raises UsageError for text that UTF-8 cannot write.
    """
    cells = [b"" if part is None else _utf8(unicodedata.normalize("NFC", _trimmed(part))) for part in parts]
    return netstring(*cells) if any(cells) else None


def _trimmed(text: str) -> str:
    return text.strip(_WHITE_SPACE)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError("a text holds half a surrogate pair") from None


def sample_threshold(rate: str) -> int:
    """floor(rate * 2^64), exactly, of a decimal rate above 0 and up to 1. Raises UsageError for any other text."""
    value = Fraction(rate) if _RATE.fullmatch(rate) else Fraction(0)
    if not 0 < value <= 1:
        raise UsageError("a sample rate is not a decimal above 0 and up to 1", hint="write for example 0.05")
    return int(value * 2**64)


class LinkageKey:
    """The secret of one agreement, held by its police sites only, and every token under it.

    Raises UsageError unless the secret has 32 bytes and ``agreement`` is an identifier.
    """

    __slots__ = ("_agreement", "_keys", "_secret")

    def __init__(self, secret: bytes, agreement: str) -> None:
        if len(secret) != SECRET_BYTES:
            raise UsageError("a linkage key is not 32 bytes long")
        validate_identifier(agreement)
        self._secret = bytes(secret)
        self._agreement = agreement
        self._keys: dict[str, FieldKey] = {}

    def __repr__(self) -> str:
        return f"LinkageKey(<secret>, {self._agreement!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: copies of a key are made in a vault."""
        raise TypeError("a linkage key cannot be pickled or copied")

    @property
    def agreement(self) -> str:
        """The agreement whose tokens these are."""
        return self._agreement

    @property
    def check(self) -> str:
        """16 hex digits by which two sites find that they hold the same key, and that tell nothing else of it."""
        return self.field("check").digest(b"")[:CHECK_BYTES].hex()

    def vrm(self, vrm: str) -> str:
        """The token of a vehicle, however its plate is written. Raises UsageError if vrm-1 does not call it ok."""
        return self.field("vrm").token(_ok(vrm))

    def vrm_alike(self, vrm: str) -> str:
        """The token that plates share which a camera may take for one another. Raises UsageError as `vrm`."""
        return self.field("vrm-alike").token(_ok(vrm).translate(ALIKE_BYTES))

    def camera(self, site: str, parts: Sequence[str | None]) -> str:
        """The token of a site's camera. Raises UsageError if every part is empty, or for a bad site id."""
        if isinstance(parts, str) or not all(part is None or isinstance(part, str) for part in parts):
            raise UsageError("the parts of a camera's identity are not a list of texts", hint='a single one is ["7"]')
        message = camera_message(parts)
        if message is None:
            raise UsageError("a camera's identity is empty")
        return self.field(field_of_site("camera", site)).token(message)

    def log(self, site: str, ref: str) -> str:
        """The token of a site's intelligence log. Raises UsageError if the reference is empty, or for a bad site id."""
        message = _utf8(_trimmed(ref))
        if not message:
            raise UsageError("a log's reference is empty")
        return self.field(field_of_site("log", site)).token(message)

    def sample(self, vrm: str) -> int:
        """Where a vehicle falls in sampling: below `sample_threshold`, it stays. Raises UsageError as `vrm`."""
        return int.from_bytes(self.field("sample").digest(_ok(vrm))[:SAMPLE_BYTES], "big")

    def vrms(self, series: pl.Series) -> pl.Series:
        """Vehicle tokens of a column of text, else UsageError is raised; null where vrm-1 does not call the cell ok."""
        from anpr_share.token_tables import PlateTable

        table = PlateTable(self, alike=False, sample=None)
        ids = table.ids(_text(series))
        return table.tokens["vehicle"].gather(ids)

    def cameras(self, site: str, frame: pl.DataFrame) -> pl.Series:
        """Camera tokens; all columns of the frame, text, are the parts in order. Null where every part is empty.

        Raises UsageError for columns that are not text.
        """
        from anpr_share.token_tables import CameraTable

        table = CameraTable(self, site)
        ids = table.ids(frame.select(_text(column) for column in frame))
        return table.frame["camera"].gather(ids)

    def logs(self, site: str, series: pl.Series) -> pl.Series:
        """Log tokens of a column of text, else UsageError is raised; null where the reference is empty."""
        import polars as pl

        series = _text(series)
        distinct = series.unique()
        messages = [_utf8(_trimmed(cell or "")) for cell in distinct.to_list()]
        field = self.field(field_of_site("log", site))
        tokens = [field.token(message) if message else None for message in messages]
        known = pl.DataFrame({"cell": distinct, "log": pl.Series(tokens, dtype=pl.String)})
        rows = series.to_frame("cell")
        return rows.join(known, on="cell", how="left", nulls_equal=True, maintain_order="left")["log"]

    def field(self, field: str) -> FieldKey:
        """The key of one field, named as in the specification: ``vrm``, ``camera/lancashire-police`` ..."""
        key = self._keys.get(field)
        if key is None:
            key = self._keys[field] = FieldKey(_hkdf(self._secret, f"anpr-share/1/{self._agreement}/{field}".encode()))
        return key


def field_of_site(field: str, site: str) -> str:
    validate_identifier(site)
    return f"{field}/{site}"


def _ok(vrm: str) -> bytes:
    canonical = canonicalise(vrm).vrm
    if canonical is None:
        raise UsageError("a plate is missing, partial or malformed, so it has no token")
    return canonical.encode()


def _hkdf(secret: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 without salt, 32 bytes: one round of RFC 5869."""
    extracted = hmac.digest(bytes(SECRET_BYTES), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


class FieldKey:
    """HMAC-SHA-256 under one key, by copies of the two SHA-256 states that every message starts from.

    That is RFC 2104 written out; for millions of short messages it is several times as fast as `hmac.digest`, and the
    tests compare the two.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        padded = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def digests(self, messages: Iterable[bytes]) -> list[bytes]:
        """The 32-byte digest of each message."""
        inner, outer = self._inner.copy, self._outer.copy
        found: list[bytes] = []
        keep = found.append
        for message in messages:
            first = inner()
            first.update(message)
            second = outer()
            second.update(first.digest())
            keep(second.digest())
        return found

    def digest(self, message: bytes) -> bytes:
        """The 32-byte digest of one message."""
        return self.digests([message])[0]

    def token(self, message: bytes) -> str:
        """The token of one message."""
        return self.digest(message)[:TOKEN_BYTES].hex()
