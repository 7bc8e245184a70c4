"""Parts: encrypted whole, durable, private, and opened by their own key only."""

from __future__ import annotations

import hashlib
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from polars.testing import assert_frame_equal

from anpr_share import parquet
from anpr_share.errors import AnprShareError, FormatError, StorageError, UsageError
from anpr_share.parquet_layout import MAX_FOOTER, Limits, examine
from tests.support.parts import read_part

if TYPE_CHECKING:
    from pathlib import Path

KEY = b"k" * 32
OTHER = b"o" * 32
TOKEN = "0123456789abcdef0123456789abcdef"
FRAME = pl.DataFrame(
    {
        "vehicle": [TOKEN, TOKEN[::-1], None],
        "captured_at": [datetime(2026, 3, 1, 12, 0, second, tzinfo=UTC) for second in range(3)],
    },
    schema={"vehicle": pl.String, "captured_at": pl.Datetime("us", "UTC")},
)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "part.parquet"
    parquet.write_part(FRAME, path, KEY)
    return path


def test_what_is_written_is_read_back(part: Path) -> None:
    assert_frame_equal(read_part(part, KEY), FRAME)
    assert_frame_equal(parquet.scan_part(part, KEY).collect(), FRAME)
    assert_frame_equal(parquet.scan_bytes(part.read_bytes(), KEY).collect(), FRAME)


def test_columns_are_read_in_the_order_asked_for(part: Path) -> None:
    assert read_part(part, KEY, ["captured_at", "vehicle"]).columns == ["captured_at", "vehicle"]
    assert_frame_equal(read_part(part, KEY, ["captured_at"]), FRAME.select("captured_at"))


def test_rows_keep_their_order_over_many_row_groups(tmp_path: Path) -> None:
    rows = 2 * parquet.GROUP_ROWS + 17
    frame = pl.DataFrame({"n": pl.int_range(rows, eager=True).reverse()})
    assert parquet.write_part(frame, tmp_path / "p", KEY).rows == rows
    assert_frame_equal(read_part(tmp_path / "p", KEY), frame)


def test_a_part_without_rows_is_a_part(tmp_path: Path) -> None:
    assert parquet.write_part(FRAME.clear(), tmp_path / "p", KEY).rows == 0
    assert_frame_equal(read_part(tmp_path / "p", KEY), FRAME.clear())


def test_the_description_of_the_file_is_true(tmp_path: Path) -> None:
    written = parquet.write_part(FRAME, tmp_path / "p", KEY)
    content = (tmp_path / "p").read_bytes()
    assert written == parquet.PartFile(3, len(content), hashlib.sha256(content).hexdigest())


def test_nothing_of_the_table_is_in_the_clear(part: Path) -> None:
    content = part.read_bytes()
    assert content[:4] == content[-4:] == b"PARE"
    for text in (TOKEN, "vehicle", "captured_at", "Polars"):
        assert text.encode() not in content


def test_a_frame_that_is_collected_late_is_written_alike(tmp_path: Path, part: Path) -> None:
    size, sha256 = parquet.sink_part(parquet.scan_part(part, KEY), tmp_path / "again", OTHER)
    content = (tmp_path / "again").read_bytes()
    assert (size, sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert_frame_equal(read_part(tmp_path / "again", OTHER), FRAME)


@pytest.mark.skipif(sys.platform == "win32", reason="no modes")
def test_nobody_else_may_read_the_file(part: Path) -> None:
    assert part.stat().st_mode & 0o777 == 0o600


def test_a_file_is_never_replaced(part: Path) -> None:
    before = part.read_bytes()
    with pytest.raises(StorageError):
        parquet.write_part(FRAME, part, OTHER)
    assert part.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError):
        parquet.write_part(FRAME, tmp_path / "link", KEY)
    assert not (tmp_path / "elsewhere").exists()


def test_names_with_signs_of_patterns_are_names(tmp_path: Path) -> None:
    folder = tmp_path / "day=2026-03-01" / "*[a]"
    folder.mkdir(parents=True)
    parquet.write_part(FRAME, folder / "p.parquet", KEY)
    assert_frame_equal(read_part(folder / "p.parquet", KEY), FRAME)


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_a_full_disk_leaves_no_file_and_is_a_storage_error(tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    frame = pl.DataFrame({"n": pl.int_range(100_000, eager=True).hash()})
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError):
            parquet.write_part(frame, tmp_path / "p", KEY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_frame_that_cannot_be_collected_leaves_no_file(tmp_path: Path, part: Path) -> None:
    with pytest.raises(FormatError):
        parquet.sink_part(parquet.scan_part(part, OTHER), tmp_path / "again", KEY)
    assert not (tmp_path / "again").exists()


def faulty(part: Path, fault: str) -> Path:
    good = part.read_bytes()
    plain = part.with_name("plain.parquet")
    if fault == "plaintext":
        FRAME.write_parquet(plain)
        return plain
    if fault == "plaintext footer":
        encryption = pl.ParquetEncryptionProperties(footer_key=KEY, plaintext_footer=True)
        FRAME.write_parquet(plain, encryption=encryption)
        return plain
    changed = bytearray(good)
    changed[len(good) // 2 if fault == "footer changed" else 20] ^= 1
    contents = {
        "empty": b"",
        "short": b"PARE",
        "head only": b"PAREPARE",
        "truncated": good[:-20],
        "cut and closed": good[:-20] + b"PARE",
        "page changed": bytes(changed),
        "other end": good[:-4] + b"PAR1",
        "other head": b"PAR1" + good[4:],
        "longer": good + b"PARE",
    }
    part.write_bytes(contents[fault])
    return part


@pytest.mark.parametrize(
    "fault",
    [
        "plaintext", "plaintext footer", "empty", "short", "head only", "truncated", "cut and closed", "page changed",
        "other end", "other head", "longer",
    ],
)  # fmt: skip
def test_a_file_that_is_no_part_is_a_format_error(part: Path, fault: str) -> None:
    with pytest.raises(FormatError):
        read_part(faulty(part, fault), KEY)


@pytest.mark.parametrize("fault", ["plaintext", "plaintext footer", "empty", "truncated"])
def test_scans_refuse_what_is_not_encrypted_before_anyone_collects(part: Path, fault: str) -> None:
    path = faulty(part, fault)
    with pytest.raises(FormatError):
        parquet.scan_part(path, KEY)
    with pytest.raises(FormatError):
        parquet.scan_bytes(path.read_bytes(), KEY)


def test_another_key_is_a_format_error(part: Path) -> None:
    with pytest.raises(FormatError):
        read_part(part, OTHER)


def test_a_missing_column_is_a_format_error(part: Path) -> None:
    with pytest.raises(FormatError):
        read_part(part, KEY, ["camera"])


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        read_part(tmp_path / "absent", KEY)


def test_errors_repeat_neither_names_nor_keys_nor_causes(part: Path, tmp_path: Path) -> None:
    secret = tmp_path / "AB12CDE"
    for path, key, columns in ((part, OTHER, None), (part, KEY, ["AB12CDE"]), (secret, KEY, None)):
        with pytest.raises(AnprShareError) as caught:
            read_part(path, key, columns)
        assert "AB12CDE" not in str(caught.value)
        assert caught.value.__suppress_context__


@pytest.mark.parametrize("key", [b"", b"k" * 16, b"k" * 31, b"k" * 33])
def test_keys_are_32_bytes(part: Path, tmp_path: Path, key: bytes) -> None:
    for call in (
        lambda: parquet.write_part(FRAME, tmp_path / "p", key),
        lambda: read_part(part, key),
        lambda: parquet.scan_bytes(part.read_bytes(), key),
        lambda: parquet.part_key(key, "b", "reads", "undated", 0),
    ):
        with pytest.raises(UsageError):
            call()
    assert not (tmp_path / "p").exists()


def test_a_part_key_is_derived_as_the_rules_say() -> None:
    info = b"8:bundle-1,5:reads,10:2026-03-01,2:12,"
    expected = HKDF(SHA256(), 32, salt=None, info=info).derive(KEY)
    assert parquet.part_key(KEY, "bundle-1", "reads", "2026-03-01", 12) == expected


def test_part_keys_differ_in_every_part_of_their_name() -> None:
    names = [
        (KEY, "b", "reads", "2026-03-01", 1),
        (OTHER, "b", "reads", "2026-03-01", 1),
        (KEY, "c", "reads", "2026-03-01", 1),
        (KEY, "b", "targets", "2026-03-01", 1),
        (KEY, "b", "reads", "undated", 1),
        (KEY, "b", "reads", "2026-03-01", 2),
        (KEY, "br", "eads", "2026-03-01", 1),
    ]
    assert len({parquet.part_key(*name) for name in names}) == len(names)


def test_two_parts_of_the_same_rows_and_key_differ(tmp_path: Path) -> None:
    first = parquet.write_part(FRAME, tmp_path / "a", KEY)
    assert first.sha256 != parquet.write_part(FRAME, tmp_path / "b", KEY).sha256


@pytest.mark.parametrize("rows", [0, 1, 100, 1_000, 1_001, 1_777, 1_790, 3_000, 40_000])
def test_a_padded_part_has_one_of_few_sizes_and_the_same_rows(tmp_path: Path, rows: int) -> None:
    tokens = [hashlib.sha256(b"%d" % n).hexdigest()[:32] for n in range(rows)]
    frame = pl.DataFrame({"vehicle": tokens}, schema={"vehicle": pl.String})
    written = parquet.write_padded(frame, tmp_path / "p", KEY)
    content = (tmp_path / "p").read_bytes()
    assert written == parquet.PartFile(rows, len(content), hashlib.sha256(content).hexdigest())
    assert written.bytes in {2**16, 2**17, 2**20}
    assert examine(content, KEY, Limits()).rows == rows
    assert_frame_equal(read_part(tmp_path / "p", KEY), frame)
    assert b"0" * 20 not in content


def test_every_size_is_padded_to_a_round_one() -> None:
    around = (-20_000, -16_387, -16_386, -16_385, -129, -128, -127, -1, 0, 1)
    for size in (*range(1, 2_000), *(2**n + shift for n in range(15, 27) for shift in around)):
        length = parquet._padding(size)
        total = size + length + max(0, (length.bit_length() - 1) // 7)
        assert total >= 2**16
        assert total & (total - 1) == 0 if total <= 2**24 else total % 2**23 == 0
        assert length < MAX_FOOTER * 3 // 4
