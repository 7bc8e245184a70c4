"""What one site shows of itself to an audit, and the file in which it hands that on: the exported ledger.

Guarantees: an exported ledger holds the ledger's exact lines with its checkpoints, and every record that an audit asks
of a site, with the documents that others signed; no data, no key, no folder of the site's machine. Reading one is
strict, bounded, and trusts nothing: what it says is evidence to be checked.

The file is canonical JSON, an object a line:

    {"at":"2026-11-25T02:17:00Z","export":1,"identity":"…base64 of identity.json…"}
    {"record":"agreement","values":{…}}          one for each record, tables in the order of RECORDS
    {"day_key":["msv-2026","reads","2026-10-01","…bundle…"]}
    {"onetime_key":["…request…","2026-10-01"]}
    {"line":"…the exact line of the ledger…"}
    {"checkpoint":"…base64 of the envelope…"}
    {"end":123,"sha256":"…of every byte before this line…"}

The last line tells a cut file from a whole one; it is no signature. The page of the format, with every field:
``docs/spec/ledger-export-v1.md``.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Final, Literal

from anpr_share.documents import canonical
from anpr_share.documents.envelope import from_base64, to_base64
from anpr_share.documents.identity import Identity
from anpr_share.errors import FormatError, VerificationError
from anpr_share.periods import parse_utc, utc_text
from anpr_share.site import catalogue, holdings, records
from anpr_share.site.holdings import KeyPlace
from anpr_share.site.records import Record

FORMAT: Final = 1
RECORDS: Final[tuple[type[Record], ...]] = (
    catalogue.Partner,
    catalogue.AcceptedAgreement,
    catalogue.KnownRequest,
    catalogue.RequestWindow,
    holdings.Bundle,
    holdings.KnownManifest,
    holdings.Part,
    holdings.KnownReceipt,
    holdings.KnownNotice,
    holdings.KnownCertificate,
    holdings.Refusal,
    holdings.Deletion,
    holdings.Registered,
    holdings.Witness,
)
MAX_LINE_BYTES: Final = 32 * 1024 * 1024
"""Of one line: a manifest of 16 MiB in base64, and what stands around it."""
MAX_BYTES: Final = 4 * 1024**3
MAX_LINES: Final = 2_000_000
"""Of the file: each becomes an object of its own in memory, however short it is."""
_MAX_NAME: Final = 128
_KINDS: Final = {kind.TABLE: kind for kind in RECORDS}
_ORDER: Final = (*_KINDS, "day_key", "onetime_key", "line", "checkpoint")


@dataclass(frozen=True, slots=True)
class Disk:
    """What looking at the files of a site showed; names are such as messages may have.

    ``altered`` and ``missing`` are days of the store whose file is another than was recorded, or is not there;
    ``keyless`` and ``unexplained`` are files of the store whose key is gone, or that no record explains; ``readable``
    are files of the site that others may read; ``present`` are the registered files that are still there, by their
    recorded paths; ``faults`` say which records or keys were altered without the passphrase, and ``proved`` whether
    that could be seen.
    """

    altered: tuple[KeyPlace, ...] = ()
    missing: tuple[KeyPlace, ...] = ()
    keyless: tuple[str, ...] = ()
    unexplained: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    present: frozenset[str] = frozenset()
    faults: tuple[str, ...] = ()
    proved: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """One site's records as they were at ``at``, by its own clock. ``disk`` is None for an exported ledger."""

    source: Literal["site", "ledger"]
    identity: Identity
    at: datetime
    partners: tuple[catalogue.Partner, ...] = ()
    agreements: tuple[catalogue.AcceptedAgreement, ...] = ()
    requests: tuple[catalogue.KnownRequest, ...] = ()
    windows: tuple[catalogue.RequestWindow, ...] = ()
    bundles: tuple[holdings.Bundle, ...] = ()
    manifests: tuple[holdings.KnownManifest, ...] = ()
    parts: tuple[holdings.Part, ...] = ()
    receipts: tuple[holdings.KnownReceipt, ...] = ()
    notices: tuple[holdings.KnownNotice, ...] = ()
    certificates: tuple[holdings.KnownCertificate, ...] = ()
    refusals: tuple[holdings.Refusal, ...] = ()
    deletions: tuple[holdings.Deletion, ...] = ()
    registered: tuple[holdings.Registered, ...] = ()
    witnesses: tuple[holdings.Witness, ...] = ()
    keys: tuple[KeyPlace, ...] = ()
    onetime: tuple[tuple[str, str], ...] = ()
    lines: tuple[bytes, ...] = field(default=(), repr=False)
    checkpoints: tuple[bytes, ...] = field(default=(), repr=False)
    disk: Disk | None = None


_FIELDS: Final = {
    "partner": "partners",
    "agreement": "agreements",
    "request": "requests",
    "request_window": "windows",
    "bundle": "bundles",
    "manifest": "manifests",
    "part": "parts",
    "receipt": "receipts",
    "notice": "notices",
    "certificate": "certificates",
    "refusal": "refusals",
    "deletion": "deletions",
    "registered": "registered",
    "witness": "witnesses",
}


def of_records(found: Iterable[Record]) -> dict[str, tuple[Record, ...]]:
    """Records by the field of :class:`Evidence` that holds them."""
    sorted_: defaultdict[str, list[Record]] = defaultdict(list)
    for item in found:
        sorted_[_FIELDS[item.TABLE]].append(item)
    return {name: tuple(items) for name, items in sorted_.items()}


def encode(evidence: Evidence) -> Iterator[bytes]:
    """The lines of an exported ledger, each with its line end."""
    digest, count = hashlib.sha256(), 0
    for value in _values(evidence):
        line = canonical.encode(value) + b"\n"
        digest.update(line)
        count += 1
        yield line
    yield canonical.encode({"end": count, "sha256": digest.hexdigest()}) + b"\n"


def _values(evidence: Evidence) -> Iterator[dict[str, object]]:
    yield {"at": utc_text(evidence.at), "export": FORMAT, "identity": to_base64(evidence.identity.envelope)}
    for kind in RECORDS:
        for record in getattr(evidence, _FIELDS[kind.TABLE]):
            yield {"record": kind.TABLE, "values": records.spelt(record)}
    for place in evidence.keys:
        yield {"day_key": list(place)}
    for window in evidence.onetime:
        yield {"onetime_key": list(window)}
    for line in evidence.lines:
        yield {"line": line.decode("utf-8", errors="replace")}  # what was UTF-8 no more breaks the chain either way
    for envelope in evidence.checkpoints:
        yield {"checkpoint": to_base64(envelope)}


def read(file: BinaryIO) -> Evidence:
    """Read an exported ledger. Raises :class:`FormatError` for anything else, a cut file included."""
    reader = _Reader()
    size = lines = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        size, lines = size + len(line), lines + 1
        if size > MAX_BYTES or lines > MAX_LINES:
            raise FormatError("the exported ledger is larger than any that is read")
        reader.take(line)
    return reader.evidence()


class _Reader:
    """Takes the lines of an exported ledger in order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._count = 0
        self._head: tuple[Identity, datetime] | None = None
        self._ended = False
        self._reached = 0
        self._seen: set[Hashable] = set()
        self._records: list[Record] = []
        self._keys: list[KeyPlace] = []
        self._onetime: list[tuple[str, str]] = []
        self._lines: list[bytes] = []
        self._checkpoints: list[bytes] = []

    def take(self, line: bytes) -> None:
        if not line.endswith(b"\n") or self._ended:
            raise self._wrong("it is cut, or goes on after its end")
        try:
            self._take(canonical.decode(line[:-1], limit=MAX_LINE_BYTES))
        except VerificationError as error:
            raise self._wrong(error.message) from None
        self._digest.update(line)
        self._count += 1

    def _take(self, value: object) -> None:
        if not isinstance(value, dict):
            raise FormatError("it is no object")
        if self._head is None:
            self._begin(value)
        elif value.keys() == {"end", "sha256"}:
            if not _is(value["end"], self._count) or value["sha256"] != self._digest.hexdigest():
                raise FormatError("the end does not fit what comes before it")
            self._ended = True
        else:
            self._add(value)

    def _begin(self, value: dict[str, object]) -> None:
        if value.keys() != {"at", "export", "identity"} or not _is(value["export"], FORMAT):
            raise FormatError("the file does not begin as one of this version does")
        self._head = (Identity.parse(from_base64(value["identity"])), parse_utc(_text(value["at"])))

    def _add(self, value: dict[str, object]) -> None:
        if value.keys() == {"record", "values"} and isinstance(value["values"], dict):
            table = _KINDS.get(_text(value["record"]))
            if table is None:
                raise FormatError("it holds a record of an unknown kind")
            self._step(table.TABLE)
            record = records.unspelt(table, value["values"])
            # The folders of registered files are left out, and two files may have one name.
            if table is not holdings.Registered:
                self._once(table, *(getattr(record, name) for name in table.KEY))
            self._records.append(record)
            return
        if len(value) != 1:
            raise FormatError("it does not have the fields of any kind of line")
        [(kind, content)] = value.items()
        if kind not in _ORDER or kind in _KINDS:
            raise FormatError("it is of an unknown kind")
        self._step(kind)
        if kind == "day_key":
            self._keys.append(KeyPlace(*self._texts(kind, content, 4)))
        elif kind == "onetime_key":
            request, first = self._texts(kind, content, 2)
            self._onetime.append((request, first))
        elif kind == "line":
            self._lines.append(_text(content).encode())
        else:
            self._checkpoints.append(from_base64(content))

    def _step(self, kind: str) -> None:
        if _ORDER.index(kind) < self._reached:
            raise FormatError("it stands out of order")
        self._reached = _ORDER.index(kind)

    def _once(self, *place: Hashable) -> None:
        if place in self._seen:
            raise FormatError("it says again what an earlier line says")
        self._seen.add(place)

    def _texts(self, kind: str, value: object, number: int) -> list[str]:
        if not isinstance(value, list) or len(value) != number:
            raise FormatError("it is not a list of as many texts as it should be")
        texts = [_text(item) for item in value]
        if not all(text.isprintable() and len(text) <= _MAX_NAME for text in texts):
            raise FormatError("a text does not print, or is too long")
        self._once(kind, *texts)
        return texts

    def evidence(self) -> Evidence:
        """What was read. Raises :class:`FormatError` if the file is cut."""
        if self._head is None or not self._ended:
            raise self._wrong("it is cut: its last line is missing")
        identity, at = self._head
        return Evidence(
            "ledger",
            identity,
            at,
            **of_records(self._records),  # type: ignore[arg-type]  # each under the field of its own kind
            keys=tuple(self._keys),
            onetime=tuple(self._onetime),
            lines=tuple(self._lines),
            checkpoints=tuple(self._checkpoints),
        )

    def _wrong(self, why: str) -> FormatError:
        return FormatError(
            f"this is not a whole exported ledger: line {self._count + 1}: {why}",
            hint="ask for it anew: anpr-share ledger export -o OUT",
        )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise FormatError("a field is no text")
    return value


def _is(value: object, number: int) -> bool:
    return type(value) is int and value == number  # True is 1
