"""The manifest of a bundle, which anyone may read, and its sealed companion, which only the recipient may.

Guarantees: a parsed manifest lists each part once, in the order of the container, within the limits of
:class:`Limits`; parsed sealed content has one 32-byte key for each table and day, pairwise distinct.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from anpr_share.documents import envelope as dsse
from anpr_share.documents.keys import sealing_info
from anpr_share.documents.keyshare import KeyCheck
from anpr_share.documents.model import (
    Base64,
    BundleId,
    Count,
    Day,
    Document,
    FormatVersion,
    Hex256,
    Identifier,
    LedgerHead,
    ShortText,
    UtcTime,
    WindowTerms,
    checked,
    pattern_schema,
    read,
    read_payload,
)
from anpr_share.errors import FormatError
from anpr_share.periods import UNDATED, parse_day

KIND = "manifest"
KEYS_NAME = "keys.sealed"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a recipient accepts of any bundle, whoever signed it.

    ``uncounted_rows`` are of each table whose rows the manifest does not count; all of it is held in memory at once.
    """

    sealed_bytes: int = 16 * 1024 * 1024
    rows_of_a_part: int = 10_000_000
    bytes_of_a_part: int = 2 * 1024**3
    parts: int = 20_000
    rows: int = 4_000_000_000
    uncounted_rows: int = 2_000_000
    bytes: int = 256 * 1024**3

    def exceeded(self, *, parts: int, rows: int, size: int) -> str | None:
        """What a bundle of so many parts, rows that are counted in the open, and bytes of parts has too many of."""
        found = {"parts": parts > self.parts, "rows": rows > self.rows, "bytes": size > self.bytes}
        return next((name for name, over in found.items() if over), None)


LIMITS = Limits()

TableName = Literal["reads", "targets", "cameras"]
SNAPSHOTS: Final = ("targets", "cameras")
"""The tables without days: what the newest bundle with one brings replaces all that the force sent of it before."""

DayName = Annotated[
    str,
    checked(lambda value: None if value == UNDATED else parse_day(value)),
    pattern_schema(rf"({UNDATED}|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})"),
]
ColumnName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")]


class Part(Document):
    """One encrypted Parquet file of the bundle. ``rows`` is null for tables whose counts are sealed."""

    day: DayName
    n: Annotated[int, Field(ge=0, le=9_999)]
    rows: Annotated[int, Field(ge=0, le=LIMITS.rows_of_a_part)] | None
    bytes: Annotated[int, Field(ge=1, le=LIMITS.bytes_of_a_part)]
    sha256: Hex256


class Table(Document):
    """One table of the bundle."""

    name: TableName
    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=40)]
    parts: Annotated[tuple[Part, ...], Field(min_length=1, max_length=LIMITS.parts)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        dated = self.name == "reads"
        if any((part.day != UNDATED) != dated or (part.rows is not None) != dated for part in self.parts):
            raise ValueError("parts of reads carry a day and their rows, parts of other tables neither")
        if self.name == "cameras" and len(self.parts) > 1:
            raise ValueError("cameras are one part, for they are checked together")
        order = [(part.day, part.n) for part in self.parts]
        if order != sorted(set(order)):
            raise ValueError("parts are listed twice or out of order")
        expected = dict.fromkeys((part.day for part in self.parts), 0)
        for part in self.parts:
            if part.n != expected[part.day]:
                raise ValueError("parts of a day are not numbered from 0 without a gap")
            expected[part.day] += 1
        return self


class SealedFile(Document):
    """Size and digest of ``keys.sealed``."""

    bytes: Annotated[int, Field(ge=1, le=LIMITS.sealed_bytes)]
    sha256: Hex256


class Manifest(Document):
    """The payload of a manifest: what verification needs, and nothing that it does not."""

    format: FormatVersion
    bundle: BundleId
    agreement: Hex256
    agreement_id: Identifier
    request: Hex256
    sender: Hex256
    recipient: Hex256
    window: WindowTerms
    created: UtcTime
    normaliser: Annotated[str, StringConstraints(pattern=r"^vrm-[0-9]{1,3}$")]
    key_check: KeyCheck
    tables: Annotated[tuple[Table, ...], Field(min_length=1, max_length=3)]
    keys: SealedFile
    head: LedgerHead

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [table.name for table in self.tables]
        if names != sorted(set(names)):
            raise ValueError("tables are listed twice or out of order")
        parts = [part for table in self.tables for part in table.parts]
        rows, size = sum(part.rows or 0 for part in parts), sum(part.bytes for part in parts)
        if (over := LIMITS.exceeded(parts=len(parts), rows=rows, size=size)) is not None:
            raise ValueError(f"there are too many {over}")
        return self

    def members(self) -> dict[str, int]:
        """Name and size of each member of the container after the manifest, in order."""
        return {KEYS_NAME: self.keys.bytes} | {
            member_name(table.name, part.day, part.n): part.bytes for table in self.tables for part in table.parts
        }

    def digests(self) -> dict[str, str]:
        """Name and SHA-256 of each member after the manifest."""
        return {KEYS_NAME: self.keys.sha256} | {
            member_name(table.name, part.day, part.n): part.sha256 for table in self.tables for part in table.parts
        }


def member_name(table: str, day: str, n: int) -> str:
    """The name of a part inside a bundle."""
    return f"data/{table}/{day}-{n}.parquet"


class DayKey(Document):
    """The key of one table and day."""

    table: TableName
    day: DayName
    key: Base64


class DayCount(Document):
    """What came of one capture day: rows in the bundle, and rows of that day that were rejected."""

    day: Day
    rows: Count
    rejected: Count


# Names are words without digits: the record is kept, and no sender shall write marks into it.
Counts = Annotated[
    dict[Annotated[str, StringConstraints(pattern=r"^[a-z]+([_-][a-z]+)*$", max_length=40)], Count],
    Field(max_length=40, json_schema_extra={"additionalProperties": False}),
]
_RiskName = Annotated[str, StringConstraints(pattern=r"^[a-z]{3,20}[0-9]?$")]
_Figure = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?$")]
MAX_NOTES = 20


class TableQuality(Document):
    """The accounting of one table: ``rows_in + split = rows_out + all rejected + all withheld``.

    ``split`` counts the rows that cells holding several plates added; ``resolved`` the local times, of all rows read,
    that the profile's settings resolved, by the rule that would have rejected them.
    """

    table: TableName
    rows_in: Count
    split: Count
    rows_out: Count
    rejected: Counts
    withheld: Counts
    resolved: Counts
    families: Counts
    ambiguous: Count
    duplicates: Count
    days: tuple[DayCount, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        lost = sum(self.rejected.values()) + sum(self.withheld.values())
        if self.rows_in + self.split != self.rows_out + lost:
            raise ValueError("the rows of the quality record do not add up")
        if sum(self.resolved.values()) > self.rows_in:
            raise ValueError("the quality record counts more resolved times than rows")
        if self.days and sum(day.rows for day in self.days) != self.rows_out:
            raise ValueError("the days of the quality record do not add up")
        return self


class Quality(Document):
    """What s.38(5) Data Protection Act 2018 asks a sender to supply: how accurate, complete and reliable the data are.

    ``disclosure_risk`` says how identifying the reads of the bundle are: see ``docs/spec/rules-v1.md``.
    """

    tables: tuple[TableQuality, ...]
    sample: Annotated[str, StringConstraints(max_length=20)] | None
    authority: ShortText | None
    disclosure_risk: Annotated[dict[_RiskName, _Figure], Field(max_length=20)] | None
    notes: Annotated[tuple[ShortText, ...], Field(max_length=MAX_NOTES)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        shares = (figure for name, figure in (self.disclosure_risk or {}).items() if name != "measured")
        if any(Decimal(share) > 1 for share in shares):
            raise ValueError("a share of the disclosure risk is above 1")
        return self

    def of(self, table: str) -> TableQuality | None:
        """The accounting of one table."""
        return next((item for item in self.tables if item.table == table), None)


class Sealed(Document):
    """What ``keys.sealed`` holds: the day keys and the quality record."""

    format: FormatVersion
    keys: Annotated[tuple[DayKey, ...], Field(max_length=LIMITS.parts)]
    quality: Quality

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [(item.table, item.day) for item in self.keys]
        if names != sorted(set(names)):
            raise ValueError("day keys are listed twice or out of order")
        return self

    def by_day(self) -> dict[tuple[str, str], bytes]:
        """Table and day → key; 32 bytes each and pairwise distinct. Raises :class:`FormatError` otherwise."""
        keys: dict[tuple[str, str], bytes] = {(item.table, item.day): dsse.from_base64(item.key) for item in self.keys}
        if any(len(key) != 32 for key in keys.values()):
            raise FormatError("a day key is not 32 bytes long")
        if len(set(keys.values())) != len(keys):
            raise FormatError("a day key is used for two days")
        return keys


def sealed_info(sender: str, agreement: str, request: str, bundle: str) -> bytes:
    """What the sealing of the keys is bound to: sender, agreement digest, request digest, bundle id."""
    return sealing_info("keys", sender, agreement, request, bundle)


def read_sealed(plaintext: bytes) -> Sealed:
    """Parse the opened content of ``keys.sealed``, as strictly as any signed document."""
    return read_payload(Sealed, plaintext, "sealed content")


def from_envelope(envelope: dsse.Envelope) -> Manifest:
    """The manifest in an envelope."""
    return read(Manifest, envelope)
