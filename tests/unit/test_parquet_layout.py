"""What a sender who holds the key can make of an encrypted Parquet file, and that each is refused before decoding.

`Forge` takes a part apart and puts it together again under its own key, with whatever was changed in between.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.errors import FormatError, VerificationError
from anpr_share.parquet_layout import Layout, Limits, examine
from anpr_share.part_check import PartJob, PartLimits, check_parts
from anpr_share.periods import Window

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = b"k" * 32
TOKEN = "0123456789abcdef0123456789abcdef"
FRAME = pl.DataFrame(
    {"vehicle": [TOKEN] * 10, "captured_at": [datetime(2026, 3, 1, 12, 0, second, tzinfo=UTC) for second in range(10)]},
    schema=pl.Schema({"vehicle": pl.String(), "captured_at": pl.Datetime("us", "UTC")}),
)
LIMITS = Limits(rows=1000, decoded=1024**2)
UNIFORM = pl.ParquetEncryptionProperties(footer_key=KEY)

Typed = dict[int, tuple[int, Any]]  # a Thrift struct: field number → (wire type, value); lists are (element type, list)


def written(frame: pl.DataFrame = FRAME, encryption: pl.ParquetEncryptionProperties = UNIFORM, **options: Any) -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out, encryption=encryption, **options)
    return out.getvalue()


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        result = shift = 0
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result

    def number(self) -> int:
        raw = self.varint()
        return (raw >> 1) ^ -(raw & 1)

    def struct(self) -> Typed:
        fields: Typed = {}
        last = 0
        while head := self.byte():
            last = last + (head >> 4) if head >> 4 else self.number()
            fields[last] = (head & 15, self.value(head & 15))
        return fields

    def value(self, kind: int) -> Any:
        if kind in {1, 2}:
            return None
        if kind in {4, 5, 6}:
            return self.number()
        if kind == 8:
            size = self.varint()
            self.at += size
            return self.data[self.at - size : self.at]
        if kind == 9:
            head = self.byte()
            size = head >> 4 if head >> 4 != 15 else self.varint()
            return head & 15, [self.value(head & 15) for _ in range(size)]
        assert kind == 12, kind
        return self.struct()


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def encode(kind: int, value: Any) -> bytes:
    if kind in {1, 2}:
        return b""
    if kind in {4, 5, 6}:
        return varint((value << 1) ^ (value >> 63))
    if kind == 8:
        return varint(len(value)) + bytes(value)
    if kind == 9:
        element, values = value
        return bytes([0xF0 | element]) + varint(len(values)) + b"".join(encode(element, item) for item in values)
    fields = (bytes([field]) + encode(4, number) + encode(field, item) for number, (field, item) in value.items())
    return b"".join(fields) + b"\x00"


@dataclass
class Page:
    header: Typed
    content: bytes
    dictionary: bool


class Forge:
    """A part taken apart: ``footer`` is its metadata, ``crypto`` its encryption metadata, both to be changed."""

    def __init__(self, part: bytes | None = None) -> None:
        part = part or written()
        end = len(part) - 8 - int.from_bytes(part[-8:-4], "little")
        self.body = part[:end]
        reader = Reader(part[end:-8])
        self.crypto = reader.struct()
        self.aad: bytes = self.crypto[1][1][1][1][2][1]
        self.footer = Reader(self.unseal(reader.data[reader.at :], b"\x00")[0]).struct()

    def unseal(self, module: bytes, aad: bytes) -> tuple[bytes, int]:
        length = 4 + int.from_bytes(module[:4], "little")
        content: bytes = AESGCM(KEY).decrypt(module[4:16], module[16:length], self.aad + aad)
        return content, length

    def seal(self, content: bytes, aad: bytes) -> bytes:
        nonce = os.urandom(12)
        sealed = AESGCM(KEY).encrypt(nonce, content, self.aad + aad)
        return (12 + len(sealed)).to_bytes(4, "little") + nonce + sealed

    def group(self, number: int = 0) -> Typed:
        group: Typed = self.footer[4][1][1][number]
        return group

    def chunk(self, column: int = 0, group: int = 0) -> Typed:
        chunk: Typed = self.group(group)[1][1][1][column]
        return chunk

    def meta(self, column: int = 0, group: int = 0) -> Typed:
        meta: Typed = self.chunk(column, group)[3][1]
        return meta

    def pages(self, column: int = 0) -> list[Page]:
        meta = self.meta(column)
        dictionary = 11 in meta
        at = meta[11][1] if dictionary else meta[9][1]
        end = at + meta[7][1]
        place = bytes(2) + column.to_bytes(2, "little")
        pages: list[Page] = []
        while at < end:
            first = dictionary and not pages
            tail = place if first else place + (len(pages) - dictionary).to_bytes(2, "little")
            header, size = self.unseal(self.body[at:], bytes([5 if first else 4]) + tail)
            at += size
            content, size = self.unseal(self.body[at:], bytes([3 if first else 2]) + tail)
            at += size
            pages.append(Page(Reader(header).struct(), content, first))
        return pages

    def put(self, pages: list[Page], column: int = 0) -> None:
        """Append pages behind all others, and let the column consist of them."""
        meta = self.meta(column)
        place = bytes(2) + column.to_bytes(2, "little")
        start = len(self.body)
        ordinal = 0
        for page in pages:
            tail = place if page.dictionary else place + ordinal.to_bytes(2, "little")
            content = self.seal(page.content, bytes([3 if page.dictionary else 2]) + tail)
            page.header[3] = (5, len(content))
            header = self.seal(encode(12, page.header), bytes([5 if page.dictionary else 4]) + tail)
            if page.dictionary:
                meta[11] = (6, len(self.body))
            elif not ordinal:
                meta[9] = (6, len(self.body))
            ordinal += not page.dictionary
            self.body += header + content
        meta[7] = (6, len(self.body) - start)

    def build(self, footer: bytes | None = None) -> bytes:
        tail = encode(12, self.crypto) + self.seal(footer or encode(12, self.footer), b"\x00")
        return self.body + tail + len(tail).to_bytes(4, "little") + b"PARE"


def refuse(part: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason) as caught:
        examine(part, KEY, LIMITS)
    assert TOKEN not in str(caught.value)


def job(path: Path, part: bytes, rows: int | None = None) -> PartJob:
    path.write_bytes(part)
    day = date(2026, 3, 1)
    columns = ("vehicle", "captured_at")
    return PartJob(path, KEY, "reads", day, rows, columns, ZoneInfo("Europe/London"), Window(day, day))


def test_an_untouched_forgery_is_an_honest_part() -> None:
    forge = Forge()
    for column in range(2):
        forge.put(forge.pages(column), column)
    part = forge.build()
    assert examine(part, KEY, LIMITS) == examine(written(), KEY, LIMITS)
    assert pl.read_parquet(part, decryption=pl.ParquetDecryptionProperties(footer_key=KEY)).equals(FRAME)


@pytest.mark.parametrize(
    "options",
    [{"compression": "uncompressed"}, {"compression": "snappy"}, {"row_group_size": 3}, {"data_page_size": 1}],
)
def test_layouts_of_honest_writers_are_accepted(options: dict[str, Any]) -> None:
    found = examine(written(**options), KEY, LIMITS)
    assert (found.columns, found.rows) == (("vehicle", "captured_at"), 10)


@pytest.mark.parametrize("options", [{}, {"data_page_version": "2.0"}, {"use_dictionary": False}])
def test_layouts_of_pyarrow_are_accepted(options: dict[str, Any]) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    pe = pytest.importorskip("pyarrow.parquet.encryption")
    out = io.BytesIO()
    pq.write_table(FRAME.to_arrow(), out, encryption_properties=pe.create_encryption_properties(KEY), **options)
    assert examine(out.getvalue(), KEY, LIMITS).rows == 10


def test_a_part_without_rows_is_described() -> None:
    assert examine(written(FRAME.clear()), KEY, LIMITS) == Layout(("vehicle", "captured_at"), 0, 0)


def test_files_that_are_not_encrypted_are_refused() -> None:
    out = io.BytesIO()
    FRAME.write_parquet(out)
    refuse(out.getvalue(), "not an encrypted")
    footer = pl.ParquetEncryptionProperties(footer_key=KEY, plaintext_footer=True)
    refuse(written(encryption=footer), "not an encrypted")


def test_column_keys_are_refused_and_the_clear_columns_that_come_with_them() -> None:
    for key in (KEY, b"o" * 32):
        mixed = pl.ParquetEncryptionProperties(footer_key=KEY, column_keys={"vehicle": key})
        refuse(written(encryption=mixed), "in the clear or under another key")


def test_a_column_in_the_clear_is_refused() -> None:
    forge = Forge()
    del forge.chunk(1)[8]
    refuse(forge.build(), "in the clear")


def test_prefixes_are_refused() -> None:
    for store in (True, False):
        prefix = pl.ParquetEncryptionProperties(footer_key=KEY, aad_prefix=b"p", store_aad_prefix=store)
        refuse(written(encryption=prefix), "prefix")


def test_unauthenticated_encryption_is_refused() -> None:
    forge = Forge()
    forge.crypto[1] = (12, {2: forge.crypto[1][1][1]})
    refuse(forge.build(), "aes-gcm")


def test_every_truncation_is_refused() -> None:
    good = written()
    for length in range(len(good)):
        refuse(good[:length], "not an encrypted")
    for length in range(len(good) - 4):
        # Where the file now ends, any bytes may be: which reason they give is chance, but none is of what they hold.
        refuse(good[:length] + b"PARE", "encrypted|footer|metadata|module|not open with its key")


def set_field(where: Callable[[Forge], Typed], number: int, kind: int, value: Any) -> Callable[[Forge], None]:
    def change(forge: Forge) -> None:
        where(forge)[number] = (kind, value)

    return change


def footer(forge: Forge) -> Typed:
    return forge.footer


def column(number: int) -> Callable[[Forge], Typed]:
    def find(forge: Forge) -> Typed:
        found: Typed = forge.footer[2][1][1][number]
        return found

    return find


FOOTERS: dict[str, tuple[str, Callable[[Forge], None]]] = {
    "one row more than its groups": ("counts contradict", set_field(footer, 3, 6, 11)),
    "no groups for its rows": ("counts contradict", set_field(footer, 4, 9, (12, []))),
    "too many rows": ("more rows than allowed", set_field(footer, 3, 6, 1001)),
    "fewer rows than none": ("more rows than allowed", set_field(footer, 3, 6, -1)),
    "rows without end": ("more rows than allowed", set_field(footer, 3, 6, 2**62)),
    "group of fewer rows than none": ("row group is not", set_field(Forge.group, 3, 6, -1)),
    "group with another number": ("row group is not", set_field(Forge.group, 7, 4, 3)),
    "group without columns": ("row group is not", set_field(Forge.group, 1, 9, (12, []))),
    "group of more rows than its columns": ("not what the schema says", set_field(Forge.group, 3, 6, 11)),
    "column of more values than its group": ("not what the schema says", set_field(Forge.meta, 5, 6, 11)),
    "column of another type": ("not what the schema says", set_field(Forge.meta, 1, 5, 2)),
    "column of another name": ("not what the schema says", set_field(Forge.meta, 3, 9, (8, [b"camera"]))),
    "column in a column": ("not what the schema says", set_field(Forge.meta, 3, 9, (8, [b"vehicle", b"x"]))),
    "column in another file": ("another file", set_field(Forge.chunk, 1, 8, b"/etc/passwd")),
    "column under another key": ("under another key", set_field(Forge.chunk, 9, 8, b"secret")),
    "dictionary at the magic": ("outside the file", set_field(Forge.meta, 11, 6, 0)),
    "dictionary before the file": ("outside the file", set_field(Forge.meta, 11, 6, -1)),
    "column past the file": ("outside the file", set_field(Forge.meta, 7, 6, 2**40)),
    "column that ends before it starts": ("outside the file", set_field(Forge.meta, 7, 6, -5)),
    "data before the dictionary": ("outside the file", set_field(Forge.meta, 9, 6, 3)),
    "column without pages": ("outside the file", set_field(Forge.meta, 7, 6, 0)),
    "nested first column": ("not flat", set_field(column(1), 5, 5, 1)),
    "root of other size": ("not flat", set_field(column(0), 5, 5, 1)),
    "repeated column": ("not flat", set_field(column(1), 3, 5, 2)),
    "type whose width the file chooses": ("type that no table has", set_field(column(1), 1, 5, 7)),
    "type of twelve bytes": ("type that no table has", set_field(column(1), 1, 5, 3)),
    "name that is no text": ("cannot be read", set_field(column(1), 4, 8, b"\xff")),
    "rows that are text": ("cannot be read", set_field(footer, 3, 8, b"10")),
    "groups that are numbers": ("cannot be read", set_field(footer, 4, 9, (6, [1]))),
    "no schema": ("cannot be read", set_field(footer, 2, 9, (12, []))),
}


@pytest.mark.parametrize("fault", FOOTERS)
def test_a_footer_that_lies_is_refused(fault: str) -> None:
    reason, change = FOOTERS[fault]
    forge = Forge()
    change(forge)
    refuse(forge.build(), reason)


def test_many_row_groups_are_refused() -> None:
    forge = Forge()
    forge.footer[4] = (9, (12, [forge.group()] * 5000))
    refuse(forge.build(), "more row groups")


def test_one_chunk_cannot_serve_two_row_groups() -> None:
    forge = Forge()
    second = dict(forge.group()) | {7: (4, 1)}
    forge.footer |= {3: (6, 20), 4: (9, (12, [forge.group(), second]))}
    refuse(forge.build(), "does not open")


def test_deep_nesting_is_refused() -> None:
    refuse(Forge().build(b"\x1c" * 5000 + b"\x00" * 5001), "nested too deeply")


@pytest.mark.parametrize("body", [b"\x19\xfc\xff\xff\xff\xff\x0f", b"\x18\xff\xff\xff\xff\x0f", b"\x16" + b"\xff" * 20])
def test_lengths_that_are_not_there_are_refused(body: bytes) -> None:
    refuse(Forge().build(body), "cut short|cannot be read")


PAGES: dict[str, tuple[str, int, Typed]] = {
    "dictionary of gigabytes": ("more bytes than allowed", 0, {2: (5, 2**31 - 1)}),
    "dictionary of fewer bytes than none": ("more bytes than allowed", 0, {2: (5, -1)}),
    "page of gigabytes": ("more bytes than allowed", 1, {2: (5, 2**31 - 1)}),
    "dictionary that is data": ("of a kind", 0, {1: (5, 0)}),
    "data that is a dictionary": ("cannot be read", 1, {1: (5, 2)}),
    "index page": ("cannot be read", 1, {1: (5, 1)}),
    "dictionary of endless values": ("more values than rows", 0, {7: (12, {1: (5, 2**31 - 1), 2: (5, 0)})}),
    "page of endless values": ("more values than its row group", 1, {5: (12, {1: (5, 2**31 - 1), 2: (5, 8)})}),
    "page of too few values": ("counts contradict", 1, {5: (12, {1: (5, 9), 2: (5, 8)})}),
    "page that repeats itself": ("encoding", 1, {5: (12, {1: (5, 10), 2: (5, 7)})}),
    "dictionary that repeats itself": ("encoding", 0, {7: (12, {1: (5, 1), 2: (5, 7)})}),
}


@pytest.mark.parametrize("fault", PAGES)
def test_a_page_header_that_lies_is_refused(fault: str) -> None:
    reason, page, change = PAGES[fault]
    forge = Forge()
    pages = forge.pages()
    pages[page].header |= change
    forge.put(pages)
    refuse(forge.build(), reason)


def test_pages_that_grow_by_repeating_each_other_are_refused() -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    pe = pytest.importorskip("pyarrow.parquet.encryption")
    out = io.BytesIO()
    pq.write_table(
        FRAME.to_arrow(),
        out,
        encryption_properties=pe.create_encryption_properties(KEY),
        use_dictionary=False,
        column_encoding={"vehicle": "DELTA_BYTE_ARRAY", "captured_at": "PLAIN"},
    )
    refuse(out.getvalue(), "encoding")


def test_decoded_sizes_add_up() -> None:
    size = examine(written(), KEY, LIMITS).decoded
    assert examine(written(), KEY, Limits(rows=10, decoded=size)).decoded == size
    with pytest.raises(FormatError, match="more bytes"):
        examine(written(), KEY, Limits(rows=10, decoded=size - 1))


def bomb(claimed: int, *, size: int = 2 * 1024**3) -> bytes:
    """A part of two hundred kilobytes whose dictionary decompresses to ``size`` bytes and claims ``claimed``."""
    pa = pytest.importorskip("pyarrow")
    frame = pa.compress(bytes(64 * 1024**2), codec="zstd", asbytes=True)
    forge = Forge()
    pages = forge.pages()
    pages[0].header[2] = (5, claimed)
    pages[0].content = frame * (size // (64 * 1024**2))
    forge.put(pages)
    return forge.build()


def test_a_dictionary_that_decompresses_to_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    part = bomb(2**31 - 1)
    assert len(part) < 1024**2
    refuse(part, "more bytes than allowed")
    with pytest.raises(VerificationError, match="more bytes than allowed") as caught:
        list(check_parts([job(tmp_path / "p", part)], limits=PartLimits(decoded=1024**3)))
    assert caught.value.step == 8


@pytest.mark.parametrize("claimed", [0, 36, 100_000_000])
def test_a_dictionary_that_says_it_is_small_is_refused_within_the_memory_limit(tmp_path: Path, claimed: int) -> None:
    limits = PartLimits(memory=768 * 1024**2)
    with pytest.raises(VerificationError) as caught:
        list(check_parts([job(tmp_path / "p", bomb(claimed))], limits=limits))
    assert caught.value.step == 8


def test_a_run_longer_than_its_page_makes_up_no_row(tmp_path: Path) -> None:
    forge = Forge()
    dictionary, page = forge.pages()
    dictionary.content = len(TOKEN).to_bytes(4, "little") + TOKEN.encode()
    # Definition levels for ten values; then, in five bytes, 2^31 - 1 times the first value of the dictionary.
    page.content = b"\x02\x00\x00\x00\x14\x01" + b"\x01" + varint((2**31 - 1) << 1) + b"\x00"
    for each in (dictionary, page):
        each.header[2] = (5, len(each.content))
    forge.meta()[4] = (5, 0)
    forge.put([dictionary, page])
    results = check_parts([job(tmp_path / "p", forge.build())], limits=PartLimits(memory=512 * 1024**2))
    try:
        assert next(results).rows == 10
    except VerificationError:
        return


def test_one_long_cell_in_every_row_is_refused_within_the_memory_limit(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    rows, long = 200_000, 1_000_000
    forge = Forge(written(FRAME.head(1).select(pl.all().repeat_by(rows).explode()), row_group_size=rows))
    pages = forge.pages()
    pages[0].content = pa.compress(long.to_bytes(4, "little") + b"0" * long, codec="zstd", asbytes=True)
    pages[0].header[2] = (5, long + 4)
    forge.put(pages)
    # 200 GB if each row had a copy.
    with pytest.raises(VerificationError, match=r"cells|memory|cannot be opened"):
        list(check_parts([job(tmp_path / "p", forge.build(), rows)], limits=PartLimits(memory=512 * 1024**2)))


def test_a_schema_that_contradicts_the_columns_is_refused(tmp_path: Path) -> None:
    forge = Forge()
    for entry in forge.footer[5][1][1]:
        entry[2] = (8, b"/////wAAAAA=")
    with pytest.raises(VerificationError):
        list(check_parts([job(tmp_path / "p", forge.build())]))


@given(st.binary(max_size=400))
def test_any_bytes_are_a_layout_or_a_format_error(data: bytes) -> None:
    for part in (data, b"PARE" + data + b"PARE", b"PARE" + data + len(data).to_bytes(4, "little") + b"PARE"):
        try:
            examine(part, KEY, LIMITS)
        except FormatError:
            continue


@given(st.data())
def test_any_footer_is_a_layout_or_a_format_error(draw: st.DataObject) -> None:
    forge = Forge()
    good = encode(12, forge.footer)
    start = draw.draw(st.integers(0, len(good)))
    stop = draw.draw(st.integers(start, min(len(good), start + 8)))
    changed = good[:start] + draw.draw(st.binary(max_size=8)) + good[stop:]
    try:
        examine(forge.build(changed), KEY, LIMITS)
    except FormatError:
        return
