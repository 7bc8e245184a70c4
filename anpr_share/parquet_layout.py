"""What an encrypted Parquet file says of itself, established before any cell of it is decoded.

A part comes from another organisation, and its sender holds its key: encryption proves nothing about its shape.
`examine` reads the footer and every page header, and gives these guarantees about a file that it accepts:

- uniform encryption: an encrypted footer, AES-GCM-V1, every column under the footer's key, no AAD prefix;
- flat: one chunk for each column in each row group, all in this very file; no nesting, no repeated values;
- bounded: rows, row groups and the decoded size of all pages are within the limits, and the three places that count
  rows (file, row groups, pages) agree;
- no page can grow beyond the size in its header: of the encodings, DELTA_BYTE_ARRAY is refused, in which each value
  repeats any length of the one before it; of the types, those whose width the file chooses.

What it does not look at: the contents of pages, statistics, page indexes and the embedded Arrow schema, which are
left to the decoder and to the checks of the decoded table.

Source: Apache Parquet's parquet.thrift and Encryption.md; Thrift's compact protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from anpr_share.errors import FormatError

MAGIC: Final = b"PARE"

MAX_ROW_GROUPS: Final = 4096
MAX_FOOTER: Final = 16 * 1024 * 1024
MAX_PAGE_HEADER: Final = 1024 * 1024

_MAX_DEPTH: Final = 16
_NONCE: Final = 12
_TAG: Final = 16

_FOOTER, _DATA_PAGE, _DICTIONARY_PAGE, _DATA_HEADER, _DICTIONARY_HEADER = 0, 2, 3, 4, 5
_INT32, _INT64, _DOUBLE, _BYTE_ARRAY = 1, 2, 5, 6
_ENCODINGS: Final = frozenset({0, 2, 3, 5, 6, 8, 9})
"""PLAIN, PLAIN_DICTIONARY, RLE, DELTA_BINARY_PACKED, DELTA_LENGTH_BYTE_ARRAY, RLE_DICTIONARY, BYTE_STREAM_SPLIT."""

Struct = dict[int, object]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one part may claim: rows, and bytes of all its pages once decompressed."""

    rows: int = 10_000_000
    decoded: int = 2 * 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Layout:
    """The shape of a part: its column names in order, its rows, and the decompressed bytes of its pages."""

    columns: tuple[str, ...]
    rows: int
    decoded: int


def examine(part: bytes, key: bytes, limits: Limits) -> Layout:
    """The layout of the encrypted Parquet file ``part``, whose key is ``key`` (32 bytes).

    Raises FormatError for anything that this module does not guarantee; its message holds nothing from the file.
    """
    if len(part) < 12 or part[:4] != MAGIC or part[-4:] != MAGIC:
        raise FormatError("it is not an encrypted parquet file")
    length = int.from_bytes(part[-8:-4], "little")
    if not 0 < length <= min(len(part) - 12, MAX_FOOTER):
        raise FormatError("its footer does not fit")
    end = len(part) - 8 - length
    thrift = _Thrift(part[end:-8])
    modules = _Modules(part, key, _file_aad(thrift.struct()))
    plain, after = modules.open(end + thrift.position, len(part) - 8, MAX_FOOTER, _FOOTER)
    if after != len(part) - 8:
        raise FormatError("its footer has bytes to spare")
    footer = _whole(plain)
    columns = _columns(footer)
    rows = _get(footer, 3, int)
    groups = _structs(footer, 4)
    if not 0 <= rows <= limits.rows:
        raise FormatError("it has more rows than allowed")
    if len(groups) > MAX_ROW_GROUPS:
        raise FormatError("it has more row groups than allowed")
    counted = decoded = 0
    for number, group in enumerate(groups):
        group_rows = _get(group, 3, int)
        chunks = _structs(group, 1)
        if group_rows < 0 or len(chunks) != len(columns) or group.get(7, number) != number:
            raise FormatError("a row group is not what the schema says")
        counted += group_rows
        for position, (chunk, column) in enumerate(zip(chunks, columns, strict=True)):
            extent = _extent(chunk, column, group_rows, end)
            decoded += _pages(modules, extent, (number, position), group_rows, limits.decoded - decoded)
    if counted != rows:
        raise FormatError("its row counts contradict each other")
    return Layout(tuple(name for name, _ in columns), rows, decoded)


def _file_aad(crypto: Struct) -> bytes:
    algorithms = _get(crypto, 1, dict)
    if set(algorithms) != {1}:
        raise FormatError("it is not encrypted with aes-gcm throughout")
    gcm = _get(algorithms, 1, dict)
    if 1 in gcm or gcm.get(3, False) is not False:
        raise FormatError("it was encrypted with a prefix")
    return _get(gcm, 2, bytes)


def _columns(footer: Struct) -> list[tuple[str, int]]:
    """Name and physical type of each column of a flat schema."""
    root, *leaves = _structs(footer, 2) or [{}]
    if _get(root, 5, int) != len(leaves) or not leaves:
        raise FormatError("its schema is not flat")
    columns = []
    for leaf in leaves:
        kind = _get(leaf, 1, int)
        if leaf.get(5, 0) != 0 or _get(leaf, 3, int) not in {0, 1}:
            raise FormatError("its schema is not flat")
        if kind not in {_INT32, _INT64, _DOUBLE, _BYTE_ARRAY}:
            raise FormatError("a column has a type that no table has")
        columns.append((_text(_get(leaf, 4, bytes)), kind))
    return columns


def _extent(chunk: Struct, column: tuple[str, int], rows: int, end: int) -> tuple[int, int]:
    """Where the pages of a column chunk start and stop."""
    if chunk.get(8) != {1: {}} or 9 in chunk:
        raise FormatError("a column is in the clear or under another key")
    if 1 in chunk:
        raise FormatError("a column is in another file")
    meta = _get(chunk, 3, dict)
    name, kind = column
    if _get(meta, 3, list) != [name.encode()] or _get(meta, 1, int) != kind or _get(meta, 5, int) != rows:
        raise FormatError("a column is not what the schema says")
    first = _get(meta, 9, int)
    start = _get(meta, 11, int) if 11 in meta else first
    stop = start + _get(meta, 7, int)
    if not len(MAGIC) <= start <= first <= stop <= end:
        raise FormatError("a column lies outside the file")
    return start, stop


def _pages(modules: _Modules, extent: tuple[int, int], place: tuple[int, int], rows: int, room: int) -> int:
    """The decompressed bytes of a column chunk's pages, which must be at most ``room`` and hold ``rows`` values."""
    values = decoded = ordinal = 0
    dictionary = False
    position, stop = extent
    while position < stop:
        try:
            plain, position = modules.open(position, stop, MAX_PAGE_HEADER, _DATA_HEADER, *place, ordinal)
        except _WrongKeyError:
            if dictionary or ordinal:
                raise
            plain, position = modules.open(position, stop, MAX_PAGE_HEADER, _DICTIONARY_HEADER, *place)
            dictionary = True
            header = _whole(plain)
            if _get(header, 1, int) != 2:
                raise FormatError("a page is of a kind that no part has") from None
            about = _get(header, 7, dict)
            encoding = _get(about, 2, int)
            # A decoder may make room for as many values as the dictionary claims before it reads one.
            if not 0 <= _get(about, 1, int) <= rows:
                raise FormatError("a dictionary has more values than rows") from None
        else:
            ordinal += 1
            header = _whole(plain)
            about = _get(header, {0: 5, 3: 8}.get(_get(header, 1, int), -1), dict)
            encoding = _get(about, 2 if header[1] == 0 else 4, int)
            count = _get(about, 1, int)
            if not 0 <= count <= rows - values:
                raise FormatError("a page has more values than its row group")
            values += count
        size = _get(header, 2, int)
        if encoding not in _ENCODINGS:
            raise FormatError("a page has an encoding that no part has")
        if not 0 <= size <= room - decoded:
            raise FormatError("it decodes to more bytes than allowed")
        decoded += size
        length = modules.length(position, stop)
        if length != _get(header, 3, int):
            raise FormatError("a page is not as long as its header says")
        position += length
    if values != rows:
        raise FormatError("its row counts contradict each other")
    return decoded


class _WrongKeyError(FormatError):
    """A module does not open with this key in this place."""


class _Modules:
    """The encrypted modules of a file, each a length, a nonce, a ciphertext and a tag."""

    def __init__(self, part: bytes, key: bytes, file_aad: bytes) -> None:
        self._part = part
        self._cipher = AESGCM(key)
        self._aad = file_aad

    def length(self, start: int, stop: int) -> int:
        """The length of the module at ``start``, its own length field included; it must end by ``stop``."""
        length = 4 + int.from_bytes(self._part[start : start + 4], "little")
        if length < 4 + _NONCE + _TAG or start + length > stop:
            raise FormatError("a module does not fit")
        return length

    def open(self, start: int, stop: int, limit: int, kind: int, *ordinals: int) -> tuple[bytes, int]:
        """The plaintext of the module at ``start``, and where the module ends."""
        length = self.length(start, stop)
        if length > limit:
            raise FormatError("a module is larger than allowed")
        if any(ordinal > 0x7FFF for ordinal in ordinals):
            raise FormatError("a column has more pages than a file can number")
        aad = self._aad + bytes([kind]) + b"".join(ordinal.to_bytes(2, "little") for ordinal in ordinals)
        body = start + 4
        nonce, sealed = self._part[body : body + _NONCE], self._part[body + _NONCE : start + length]
        try:
            return self._cipher.decrypt(nonce, sealed, aad), start + length
        except InvalidTag:
            raise _WrongKeyError("it does not open with its key") from None


def _get(struct: Struct, number: int, kind: type[T]) -> T:
    value = struct.get(number)
    if type(value) is not kind:
        raise FormatError("its metadata cannot be read")
    return value


def _structs(struct: Struct, number: int) -> list[Struct]:
    values = _get(struct, number, list)
    if not all(isinstance(value, dict) for value in values):
        raise FormatError("its metadata cannot be read")
    return values


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError("its metadata cannot be read") from None


def _whole(data: bytes) -> Struct:
    thrift = _Thrift(data)
    struct = thrift.struct()
    if thrift.position != len(data):
        raise FormatError("its metadata cannot be read")
    return struct


class _Thrift:
    """Thrift's compact protocol as plain values: structs are dicts by field number.

    Every value costs at least a byte of input but a struct's field, so what comes out is bounded by what goes in.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def struct(self, depth: int = 0) -> Struct:
        if depth > _MAX_DEPTH:
            raise FormatError("its metadata is nested too deeply")
        fields: Struct = {}
        number = 0
        while header := self._byte():
            number = number + (header >> 4) if header >> 4 else self._zigzag()
            kind = header & 0x0F
            # A second value for a field is what two readers could disagree about.
            if number in fields or not 0 < number < 0x8000:
                raise FormatError("its metadata cannot be read")
            fields[number] = kind == 1 if kind in {1, 2} else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> object:
        match kind:
            case 1 | 2 | 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._zigzag()
            case 7:
                return self._take(8)
            case 8:
                return self._take(self._varint())
            case 9 | 10:
                header = self._byte()
                count = header >> 4 if header >> 4 != 0x0F else self._varint()
                self._require(count)
                return [self._value(header & 0x0F, depth + 1) for _ in range(count)]
            case 12:
                return self.struct(depth + 1)
            case _:
                # 11 is a map, which no structure of Parquet has.
                raise FormatError("its metadata cannot be read")

    def _require(self, count: int) -> None:
        if count > len(self._data) - self.position:
            raise FormatError("its metadata is cut short")

    def _take(self, count: int) -> bytes:
        self._require(count)
        start = self.position
        self.position += count
        return self._data[start : self.position]

    def _byte(self) -> int:
        return self._take(1)[0]

    def _varint(self) -> int:
        result = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result
        raise FormatError("its metadata cannot be read")

    def _zigzag(self) -> int:
        raw = self._varint()
        return (raw >> 1) ^ -(raw & 1)
