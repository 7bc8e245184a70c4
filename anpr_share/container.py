"""The canonical ZIP that carries a bundle: verification steps 1 and 6.

There is exactly one container for given members. Every byte outside the members' contents follows from their names,
sizes and checksums, so a reader rebuilds those bytes and compares: a gap, a prefix, a suffix, a comment, an extra
field, a compressed or renamed member, and any changed bit are all the same finding, bytes that differ. What the
structure cannot show, changed contents or a checksum changed in both headers, the comparison of `digest_member` finds.

    local header · content, for each member      as APPNOTE 4.3.7: version 20, no flags, stored, 1980-01-01 00:00
    central entry, for each member               as APPNOTE 4.3.12: made by 45, no attributes
    ZIP64 end record and locator                 only if the central directory starts at or past 2^32 - 1
    end record                                   no comment

A central entry has version 45 and a ZIP64 extra field with its offset, and nothing else, exactly if that offset is at
or past 2^32 - 1; else version 20 and no extra field. Members are at most 2 GiB, so sizes never need ZIP64. Any ZIP
program can list and unpack the result.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zlib
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, BinaryIO, Final

from anpr_share.errors import FormatError, UsageError
from anpr_share.files import storage_errors
from anpr_share.periods import UNDATED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

MANIFEST: Final = "manifest.json"
KEYS: Final = "keys.sealed"

MAX_MEMBERS: Final = 20_002
"""Members of one container: the manifest, the sealed keys and 20,000 parts."""
MAX_SMALL: Final = 16 * 1024 * 1024
"""Bytes of the manifest, and of the sealed keys."""
MAX_MEMBER: Final = 2 * 1024 * 1024 * 1024
"""Bytes of any member, as of a part in a manifest. Far below 4 GiB, where a size would need ZIP64."""

_PART = re.compile(r"data/([a-z]{1,32})/([0-9]{4}-[0-9]{2}-[0-9]{2}|undated)-(0|[1-9][0-9]{0,3})\.parquet", re.ASCII)
_LONGEST_NAME: Final = 64

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_OFFSET_EXTRA: Final = struct.Struct("<2HQ")
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_LOCATOR: Final = struct.Struct("<4sIQI")
_END: Final = struct.Struct("<4s4H2IH")

_LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_OVERFLOW: Final = 0xFFFFFFFF
_DATE: Final = 0x0021  # 1980-01-01 in MS-DOS form: the earliest, and it tells nothing about the sender
_CHUNK: Final = 1024 * 1024
_REFUSED: Final = "a bundle cannot be read or written"


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a container: its content is ``size`` bytes at ``offset``, and ``crc`` is what the headers claim."""

    name: str
    offset: int
    size: int
    crc: int


def write(out: BinaryIO, members: Iterable[tuple[str, Path | bytes]]) -> None:
    """Write a container to ``out``, an empty seekable file; syncing and publishing it are the caller's.

    ``members`` come in the order of the container: the manifest, the sealed keys, then parts by table, day and
    number. Files are copied in pieces, each read once.

    Raises UsageError if the members are not such a sequence, or one is too large; StorageError if a file cannot be
    read or written.
    """
    if out.tell() != 0:
        raise UsageError("a container is written at the start of a file")
    written: list[Member] = []
    order = _Order()
    with storage_errors(_REFUSED):
        for name, content in members:
            fault = order.fault(name)
            if fault:
                raise UsageError(fault)
            start = out.tell()
            header_size = _LOCAL.size + len(name)
            out.seek(start + header_size)
            size, crc = _copy(content, out)
            if size > _limit(name):
                raise UsageError("a member is larger than a container can hold")
            member = Member(name, start + header_size, size, crc)
            # The checksum is known only now; going back once is cheaper than reading every part twice.
            out.seek(start)
            out.write(_local_header(member))
            out.seek(member.offset + size)
            written.append(member)
        fault = order.end_fault()
        if fault:
            raise UsageError(fault)
        out.write(_ending(written))


def read(file: BinaryIO) -> tuple[Member, ...]:
    """Step 1: the members of a container, in order, after every byte outside their contents has been compared.

    Contents are not read: `digest_member` does that, in step 6.

    Raises FormatError with step 1 for anything but a canonical container, and StorageError if it cannot be read.
    """
    with storage_errors(_REFUSED):
        total = file.seek(0, io.SEEK_END)
        members: list[Member] = []
        order = _Order()
        position = 0
        while (member := _member_at(file, position)) is not None:
            fault = order.fault(member.name)
            if fault:
                raise _bad(fault)
            if member.size > _limit(member.name):
                raise _bad("a member is larger than allowed")
            position = member.offset + member.size
            if position > total:
                raise _bad("the file has been cut short")
            members.append(member)
        fault = order.end_fault()
        if fault:
            raise _bad(fault)
        ending = _ending(members)
        if total - position != len(ending):
            raise _bad("the file does not end where its members say")
        file.seek(position)
        if file.read(len(ending)) != ending:
            raise _bad("the directory is not the one that the members make")
        return tuple(members)


def read_member(file: BinaryIO, member: Member) -> bytes:
    """The whole content of a member, which is for a small one: the manifest or the sealed keys.

    Raises StorageError if the file cannot be read.
    """
    return b"".join(_pieces(file, member))


def digest_member(file: BinaryIO, member: Member) -> tuple[str, int]:
    """The SHA-256 of a member's content in lower-case hex, and its CRC-32.

    Step 6 compares both, for every member: the digest with the manifest, which proves the content, and the CRC with
    ``member.crc``, which proves the headers.

    Raises StorageError if the file cannot be read.
    """
    digest = hashlib.sha256()
    crc = 0
    for piece in _pieces(file, member):
        digest.update(piece)
        crc = zlib.crc32(piece, crc)
    return digest.hexdigest(), crc


class _Order:
    """Accepts names one by one in the one order that a container allows."""

    def __init__(self) -> None:
        self._count = 0
        self._last: tuple[str, str, int] | None = None

    def fault(self, name: str) -> str | None:
        position = self._count
        self._count += 1
        if position >= MAX_MEMBERS:
            return "too many members"
        if position < 2:
            expected = (MANIFEST, KEYS)[position]
            return None if name == expected else f"member {position + 1} is not {expected}"
        part = _part(name)
        if part is None:
            return "a member has a name that no part has"
        if self._last is not None and part <= self._last:
            return "the parts are not in order, or one comes twice"
        self._last = part
        return None

    def end_fault(self) -> str | None:
        return "the manifest or the sealed keys are missing" if self._count < 2 else None


def _limit(name: str) -> int:
    return MAX_SMALL if name in (MANIFEST, KEYS) else MAX_MEMBER


def _local_header(member: Member) -> bytes:
    name = member.name.encode("ascii")
    fixed = _LOCAL.pack(
        _LOCAL_SIGNATURE, 20, 0, 0, 0, _DATE, member.crc, member.size, member.size, len(name), 0
    )  # fmt: skip
    return fixed + name


def _central_entry(member: Member) -> bytes:
    name = member.name.encode("ascii")
    start = member.offset - _LOCAL.size - len(name)
    far = start >= _OVERFLOW
    extra = _OFFSET_EXTRA.pack(1, 8, start) if far else b""
    fixed = _CENTRAL.pack(
        b"PK\x01\x02", 45, 45 if far else 20, 0, 0, 0, _DATE, member.crc, member.size, member.size, len(name),
        len(extra), 0, 0, 0, 0, _OVERFLOW if far else start,
    )  # fmt: skip
    return fixed + name + extra


def _ending(members: Sequence[Member]) -> bytes:
    directory = b"".join(map(_central_entry, members))
    start = members[-1].offset + members[-1].size
    count = len(members)
    tail = b""
    if start >= _OVERFLOW:
        tail = _END64.pack(
            b"PK\x06\x06", _END64.size - 12, 45, 45, 0, 0, count, count, len(directory), start
        ) + _LOCATOR.pack(b"PK\x06\x07", 0, start + len(directory), 1)  # fmt: skip
    end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), min(start, _OVERFLOW), 0)
    return directory + tail + end


def _member_at(file: BinaryIO, position: int) -> Member | None:
    """The member whose local header is at ``position``, or None where the directory begins."""
    file.seek(position)
    header = file.read(_LOCAL.size + _LONGEST_NAME)
    if not header.startswith(_LOCAL_SIGNATURE) or len(header) < _LOCAL.size:
        return None
    *_, crc, size, _, name_size, _ = _LOCAL.unpack_from(header)
    name = header[_LOCAL.size : _LOCAL.size + min(name_size, _LONGEST_NAME)]
    if not name.isascii():
        raise _bad("a member has a name that no part has")
    member = Member(name.decode("ascii"), position + _LOCAL.size + len(name), size, crc)
    if not header.startswith(_local_header(member)):
        raise _bad("a member's header is not the one that its name, size and checksum make")
    return member


def _copy(content: Path | bytes, out: BinaryIO) -> tuple[int, int]:
    size = crc = 0
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as source:
        while piece := source.read(_CHUNK):
            out.write(piece)
            size += len(piece)
            crc = zlib.crc32(piece, crc)
    return size, crc


def _pieces(file: BinaryIO, member: Member) -> Iterator[bytes]:
    position, end = member.offset, member.offset + member.size
    while position < end:
        with storage_errors(_REFUSED):
            file.seek(position)
            piece = file.read(min(_CHUNK, end - position))
        if not piece:
            return
        position += len(piece)
        yield piece


def _bad(message: str) -> FormatError:
    return FormatError(f"not a bundle: {message}", hint="ask the sender for the file again", step=1)


def _part(name: str) -> tuple[str, str, int] | None:
    """Table, day and number of a part, which sort as parts do in a container; None for any other name."""
    match = _PART.fullmatch(name)
    if match is None:
        return None
    table, day, n = match.groups()
    if day != UNDATED:
        try:
            date.fromisoformat(day)
        except ValueError:
            return None
    return table, day, int(n)
