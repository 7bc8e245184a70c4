"""Tokens: keyed hashes that stand for a vehicle, a camera or a log within one agreement.

Guarantees:

- A token is the first 16 bytes of HMAC-SHA-256 under a key of its own field, in lower-case hex. Fields' keys derive
  from the agreement's linkage key by HKDF, so tokens of two fields, two sites' cameras or two agreements say nothing
  of one another. The constructions are those of ``docs/spec/rules-v1.md``; cases are in
  ``docs/spec/vectors/tokens-1.json``.
- Only what vrm-1 calls ``ok`` gets a vehicle token: a constant token for missing plates would link strangers.
- A key never shows: its ``repr`` is redacted, it cannot be pickled or copied, and two are compared by their `check`.
  No message holds a plate, a token, a camera or a key.
- The tables (`PlateTable`, `CameraTable`) hash each distinct cell once and give exactly the tokens of `LinkageKey`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NoReturn

from anpr_share.errors import UsageError
from anpr_share.vrm import PLATE_LIKE, canonicalise, canonicalise_series, squeeze

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

__all__ = [
    "CameraTable",
    "LinkageKey",
    "PlateTable",
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
_FEW_TIMES: Final = 8  # a cell of a batch is on average seen less often than this: most are distinct
_HASH_ROWS: Final = 1 << 15  # plates hashed at a time: so few objects stay in the processor's cache

# Unicode's White_Space property; `str.strip()` without an argument would also take U+001C to U+001F.
_WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_ALIKE_BYTES: Final = bytes.maketrans(b"ODQIZSGB", b"00012568")

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
    """The id of a site of this name: the name in lower case, its words of ``a-z0-9`` joined by hyphens.

    It may be none that `is_identifier`: empty, too long, or a device's name.
    """
    return "-".join(_IDENTIFIER_WORD.findall(name.lower()))


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
        return self.field("vrm-alike").token(_ok(vrm).translate(_ALIKE_BYTES))

    def camera(self, site: str, parts: Sequence[str | None]) -> str:
        """The token of a site's camera. Raises UsageError if every part is empty, or for a bad site id."""
        if isinstance(parts, str) or not all(part is None or isinstance(part, str) for part in parts):
            raise UsageError("the parts of a camera's identity are not a list of texts", hint='a single one is ["7"]')
        message = camera_message(parts)
        if message is None:
            raise UsageError("a camera's identity is empty")
        return self.field(_of_site("camera", site)).token(message)

    def log(self, site: str, ref: str) -> str:
        """The token of a site's intelligence log. Raises UsageError if the reference is empty, or for a bad site id."""
        message = _utf8(_trimmed(ref))
        if not message:
            raise UsageError("a log's reference is empty")
        return self.field(_of_site("log", site)).token(message)

    def sample(self, vrm: str) -> int:
        """Where a vehicle falls in sampling: below `sample_threshold`, it stays. Raises UsageError as `vrm`."""
        return int.from_bytes(self.field("sample").digest(_ok(vrm))[:SAMPLE_BYTES], "big")

    def vrms(self, series: pl.Series) -> pl.Series:
        """Vehicle tokens of a column of text, else UsageError is raised; null where vrm-1 does not call the cell ok."""
        table = PlateTable(self, alike=False, sample=None)
        ids = table.ids(_text(series))
        return table.frame["vehicle"].gather(ids)

    def cameras(self, site: str, frame: pl.DataFrame) -> pl.Series:
        """Camera tokens; all columns of the frame, text, are the parts in order. Null where every part is empty.

        Raises UsageError for columns that are not text.
        """
        table = CameraTable(self, site)
        ids = table.ids(frame.select(_text(column) for column in frame))
        return table.frame["camera"].gather(ids)

    def logs(self, site: str, series: pl.Series) -> pl.Series:
        """Log tokens of a String series; null where the reference is empty."""
        import polars as pl

        distinct = series.unique()
        messages = [_utf8(_trimmed(cell or "")) for cell in distinct.to_list()]
        field = self.field(_of_site("log", site))
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


def _of_site(field: str, site: str) -> str:
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


class PlateTable:
    """Numbers the distinct cells of plate columns, batch after batch, and hashes each of them once.

    A cell's number is its row in `frame`; cells that differ only in what vrm-1 drops may share one. The table grows up
    to ``capacity`` rows and the batch that passes it: the caller asks `full` after each batch, settles whatever refers
    to the numbers, and calls `clear`. Around 100 bytes are kept for a row.
    """

    def __init__(self, key: LinkageKey, *, alike: bool, sample: int | None, capacity: int = 12_000_000) -> None:
        self._key = key
        self._alike = alike
        self._sample = sample
        self._capacity = capacity
        self.clear()

    def __len__(self) -> int:
        return self._rows

    def __repr__(self) -> str:
        return f"PlateTable({self._rows} rows)"

    @property
    def full(self) -> bool:
        """Whether the table has reached its capacity."""
        return self._rows >= self._capacity

    def clear(self) -> None:
        """Forget every cell; numbers start again from 0."""
        import polars as pl

        self._rows = 0
        # Cells of up to eight bytes are looked up as one integer, which holds them exactly; the others by their text.
        self._short = pl.DataFrame(schema={"cell": pl.UInt64, "id": pl.UInt32})
        self._long: dict[str | None, int] = {}
        self._chunks: list[pl.DataFrame] = []

    @property
    def frame(self) -> pl.DataFrame:
        """A row for each number, in order.

        ``status`` and ``family`` (Enum), ``ambiguous`` (Boolean), ``vehicle`` (String, the token; null where status is
        not ``ok``), ``vehicle_alike`` (String, if asked for) and ``sampled`` (Boolean: the vehicle falls below the
        threshold; all true without sampling, and false where there is no vehicle).
        """
        import polars as pl

        if not self._chunks:
            self._chunks = [self._described(pl.Series([], dtype=pl.String))]
        if len(self._chunks) > 1:
            self._chunks = [pl.concat(self._chunks, rechunk=True)]
        return self._chunks[0]

    def ids(self, raw: pl.Series) -> pl.Series:
        """The number (UInt32) of each cell of a String series; null is a cell too."""
        import polars as pl

        cells = _packed(raw)
        first = cells.arg_unique()
        table = pl.DataFrame({"cell": cells.gather(first), "row": first}).drop_nulls("cell")
        known = self._short.join(table, on="cell", how="inner").select("cell", "id")
        new = table.join(known, on="cell", how="anti", maintain_order="left") if len(known) else table
        new = new.select("cell", "row", id=self._next_ids(len(new)))
        self._add(raw.gather(new["row"]))
        new = new.select("cell", "id")
        self._short = pl.concat([self._short, new], rechunk=True)
        ids = _spread(cells, pl.concat([known, new]))
        return ids if len(table) == len(first) else self._with_long(ids, raw)

    def _with_long(self, ids: pl.Series, raw: pl.Series) -> pl.Series:
        """Number the cells that do not fit an integer."""
        import polars as pl

        rows = ids.is_null().arg_true()
        cells = raw.gather(rows)
        distinct = cells.unique(maintain_order=True)
        texts: list[str | None] = distinct.to_list()
        new = [text for text in texts if text not in self._long]
        self._long.update(zip(new, self._next_ids(len(new)).to_list(), strict=True))
        self._add(pl.Series(new, dtype=pl.String))
        numbers = pl.DataFrame({"cell": distinct, "id": pl.Series([self._long[t] for t in texts], dtype=pl.UInt32)})
        found = cells.to_frame("cell").join(numbers, on="cell", how="left", nulls_equal=True, maintain_order="left")
        return ids.scatter(rows, found["id"])

    def _next_ids(self, count: int) -> pl.Series:
        import polars as pl

        return pl.int_range(self._rows, self._rows + count, dtype=pl.UInt32, eager=True).alias("id")

    def _add(self, cells: pl.Series) -> None:
        """Append a row for each cell."""
        self._chunks.extend(
            self._described(cells.slice(start, _HASH_ROWS)) for start in range(0, len(cells), _HASH_ROWS)
        )
        self._rows += len(cells)

    def _described(self, cells: pl.Series) -> pl.DataFrame:
        results = canonicalise_series(cells)
        ok = results["status"] == "ok"
        text = b"" if cells.is_empty() else results["vrm"].fill_null("").str.join("\n").item().encode()
        columns = {"vehicle": self._tokens("vrm", text, ok)}
        if self._alike:
            columns["vehicle_alike"] = self._tokens("vrm-alike", text.translate(_ALIKE_BYTES), ok)
        return results.select("status", "family", "ambiguous").with_columns(**columns, sampled=self._sampled(text, ok))

    def _tokens(self, field: str, text: bytes, ok: pl.Series) -> pl.Series:
        """The tokens of the lines of ``text`` where they are ``ok``; there is a line for each of them."""
        import polars as pl

        digests = self._key.field(field).digests(text.split(b"\n")[: len(ok)])
        tokens = pl.Series(digests, dtype=pl.Binary).bin.slice(0, TOKEN_BYTES).bin.encode("hex")
        return tokens if ok.all() else pl.select(pl.when(ok).then(tokens)).to_series()

    def _sampled(self, text: bytes, ok: pl.Series) -> pl.Series:
        import polars as pl

        if self._sample is None:
            return pl.repeat(True, len(ok), dtype=pl.Boolean, eager=True)  # noqa: FBT003
        if self._sample >= 1 << 8 * SAMPLE_BYTES:
            return ok
        # Compared as bytes, a digest is below the threshold exactly when its first eight bytes are.
        threshold = self._sample.to_bytes(SAMPLE_BYTES, "big")
        digests = self._key.field("sample").digests(text.split(b"\n")[: len(ok)])
        return pl.Series([digest < threshold for digest in digests], dtype=pl.Boolean) & ok


def _spread(cells: pl.Series, numbers: pl.DataFrame) -> pl.Series:
    """The ``id`` of each cell; ``numbers`` has a row for each distinct one. A null has none."""
    if len(numbers) * _FEW_TIMES > len(cells):  # sorting beats a large hash table by half
        return numbers.sort("cell")["id"].gather(cells.rank("dense") - 1)
    return cells.to_frame("cell").join(numbers, on="cell", how="left", maintain_order="left")["id"]


def _packed(raw: pl.Series) -> pl.Series:
    """Each cell, or what is left of it without what vrm-1 drops, as an integer of its bytes; null where eight are few.

    Two cells have the same integer only if they canonicalise the same: the padding is told from a final NUL, and only
    ASCII is squeezed.
    """
    import polars as pl

    cells = _eight_bytes(raw)
    rows = (cells.is_null() & raw.is_not_null()).arg_true()
    if not rows.is_empty():
        cells = cells.scatter(rows, _eight_bytes(squeeze(raw.gather(rows))))
    return cells.bin.reinterpret(dtype=pl.UInt64)


def _eight_bytes(cells: pl.Series) -> pl.Series:
    """Cells of up to eight ASCII characters as eight bytes of Binary; null for others."""
    import polars as pl

    padded = cells.str.pad_end(8, "\0")
    fits = (padded.str.len_bytes() == 8) & ~cells.str.ends_with("\0")
    binary = padded.cast(pl.Binary)
    return binary if fits.all() else pl.select(pl.when(fits).then(binary)).to_series()


class CameraTable:
    """Numbers the distinct cameras of a site, batch after batch; used as `PlateTable` is."""

    def __init__(self, key: LinkageKey, site: str, capacity: int = 1_000_000) -> None:
        self._field = key.field(_of_site("camera", site))
        self._capacity = capacity
        self.clear()

    def __len__(self) -> int:
        return self._rows

    def __repr__(self) -> str:
        return f"CameraTable({self._rows} rows)"

    @property
    def full(self) -> bool:
        """Whether the table has reached its capacity."""
        return self._rows >= self._capacity

    def clear(self) -> None:
        """Forget every camera; numbers start again from 0."""
        self._rows = 0
        self._known: pl.DataFrame | None = None
        self._chunks: list[pl.DataFrame] = []

    @property
    def frame(self) -> pl.DataFrame:
        """A row for each number, in order.

        ``camera`` (String, the token; null where every part is empty) and ``plate_like`` (Boolean: a part has the
        shape of a plate, which means that columns may be swapped).
        """
        import polars as pl

        if len(self._chunks) != 1:
            self._chunks = [pl.concat([self._described([]), *self._chunks], rechunk=True)]
        return self._chunks[0]

    def ids(self, frame: pl.DataFrame) -> pl.Series:
        """The number (UInt32) of each row of a frame of String columns, which are a camera's parts in order.

        Raises UsageError when the number of columns is not that of the batches before.
        """
        import polars as pl

        names = [f"part{n}" for n in range(frame.width)]
        parts = frame.rename(dict(zip(frame.columns, names, strict=True)))
        if self._known is None:
            self._known = parts.clear().with_columns(id=pl.lit(None, dtype=pl.UInt32))
        if self._known.width != frame.width + 1:
            raise UsageError("a camera's identity has another number of parts than before")
        ids = self._looked_up(parts, names)
        if ids.null_count():
            new = parts.filter(ids.is_null()).unique(maintain_order=True)
            numbers = pl.int_range(self._rows, self._rows + len(new), dtype=pl.UInt32, eager=True)
            self._known = pl.concat([self._known, new.with_columns(numbers.alias("id"))], rechunk=True)
            self._chunks.append(self._described(new.rows()))
            self._rows += len(new)
            ids = self._looked_up(parts, names)
        return ids

    def _looked_up(self, parts: pl.DataFrame, names: list[str]) -> pl.Series:
        assert self._known is not None
        return parts.join(self._known, on=names, how="left", nulls_equal=True, maintain_order="left")["id"]

    def _described(self, cameras: Sequence[Sequence[str | None]]) -> pl.DataFrame:
        import polars as pl

        messages = [camera_message(parts) for parts in cameras]
        tokens = [None if message is None else self._field.token(message) for message in messages]
        plate_like = [any(canonicalise(part).family in PLATE_LIKE for part in parts) for parts in cameras]
        schema = {"camera": pl.String, "plate_like": pl.Boolean}
        return pl.DataFrame({"camera": tokens, "plate_like": plate_like}, schema=schema)
