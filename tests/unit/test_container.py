"""The canonical ZIP: one container for given members, and any other byte is found."""

from __future__ import annotations

import hashlib
import io
import shutil
import struct
import subprocess
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO

import pytest

from anpr_share import container
from anpr_share.errors import FormatError, StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MEMBERS: list[tuple[str, bytes]] = [
    ("manifest.json", b'{"a":1}'),
    ("keys.sealed", b"\x00\x01"),
    ("data/reads/2026-03-01-0.parquet", b"PAREabcPARE"),
    ("data/reads/2026-03-01-1.parquet", b""),
    ("data/reads/2026-03-02-0.parquet", b"PAREdefPARE"),
    ("data/targets/undated-0.parquet", b"PAREghiPARE"),
]


def build(members: list[tuple[str, bytes]] | None = None) -> bytes:
    out = io.BytesIO()
    container.write(out, MEMBERS if members is None else members)
    return out.getvalue()


def raw(members: list[tuple[str, bytes]]) -> bytes:
    """A container whose bytes are canonical but whose names and order are not checked."""
    out = bytearray()
    written = []
    for name, content in members:
        offset = len(out) + 30 + len(name)
        member = container.Member(name, offset, len(content), zlib.crc32(content))
        out += container._local_header(member) + content
        written.append(member)
    if not written:
        return b"PK\x05\x06" + bytes(18)
    return bytes(out + container._ending(written))


def sound(file: BinaryIO, members: Sequence[container.Member]) -> bool:
    """Whether every member's content has the checksum that its headers say."""
    return all(container.digest_member(file, member)[1] == member.crc for member in members)


def refuse(data: bytes) -> FormatError:
    with pytest.raises(FormatError) as caught:
        container.read(io.BytesIO(data))
    assert caught.value.step == 1
    return caught.value


def test_what_is_written_is_read_back() -> None:
    file = io.BytesIO(build())
    members = container.read(file)
    assert [member.name for member in members] == [name for name, _ in MEMBERS]
    assert [container.read_member(file, member) for member in members] == [content for _, content in MEMBERS]
    assert sound(file, members)


def test_the_same_members_always_make_the_same_bytes() -> None:
    assert build() == build() == raw(MEMBERS)
    assert hashlib.sha256(build(MEMBERS[:2])).hexdigest() == hashlib.sha256(raw(MEMBERS[:2])).hexdigest()


def test_the_header_bytes_are_those_of_the_specification() -> None:
    header = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 33, zlib.crc32(b'{"a":1}'), 7, 7, 13, 0)
    assert build().startswith(header + b"manifest.json" + b'{"a":1}' + b"PK\x03\x04")
    end = struct.pack("<4s4H", b"PK\x05\x06", 0, 0, len(MEMBERS), len(MEMBERS))
    assert build()[-22:].startswith(end)
    assert build().endswith(b"\x00\x00")


def test_files_and_bytes_make_the_same_container(tmp_path: Path) -> None:
    paths = []
    for position, (name, content) in enumerate(MEMBERS):
        path = tmp_path / str(position)
        path.write_bytes(content)
        paths.append((name, path))
    out = io.BytesIO()
    container.write(out, paths)
    assert out.getvalue() == build()


def test_digests_are_those_of_the_contents() -> None:
    file = io.BytesIO(build())
    for member, (_, content) in zip(container.read(file), MEMBERS, strict=True):
        assert container.digest_member(file, member) == (hashlib.sha256(content).hexdigest(), zlib.crc32(content))


def test_python_reads_it() -> None:
    with zipfile.ZipFile(io.BytesIO(build())) as archive:
        assert archive.testzip() is None
        assert [(name, archive.read(name)) for name in archive.namelist()] == MEMBERS


@pytest.mark.skipif(shutil.which("unzip") is None, reason="Info-ZIP is not installed")
def test_unzip_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.anpr.zip"
    path.write_bytes(build())
    done = subprocess.run(["unzip", "-q", str(path), "-d", str(tmp_path / "out")], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert [(name, (tmp_path / "out" / name).read_bytes()) for name, _ in MEMBERS] == MEMBERS


def test_every_changed_bit_is_found() -> None:
    good = build()
    digests = [hashlib.sha256(content).hexdigest() for _, content in MEMBERS]
    for position in range(len(good) * 8):
        bad = bytearray(good)
        bad[position // 8] ^= 1 << position % 8
        file = io.BytesIO(bytes(bad))
        try:
            members = container.read(file)
        except FormatError:
            continue
        assert [container.digest_member(file, member)[0] for member in members] != digests, position
        assert not sound(file, members)


def test_a_checksum_changed_in_both_headers_is_found_by_comparing_it() -> None:
    crc = struct.pack("<I", zlib.crc32(MEMBERS[2][1]))
    assert build().count(crc) == 2
    file = io.BytesIO(build().replace(crc, b"\x00\x00\x00\x00"))
    assert not sound(file, container.read(file))


def test_every_truncation_is_found() -> None:
    good = build()
    for length in range(len(good)):
        refuse(good[:length])


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("empty", b""),
        ("prefix", b"\x00" + build()),
        ("self-extracting prefix", b"#!/bin/sh\n" + build()),
        ("suffix", build() + b"\x00"),
        ("newline at the end", build() + b"\n"),
        ("two containers", build() + build()),
        ("comment", build()[:-2] + b"\x02\x00hi"),
    ],
)
def test_bytes_around_it_are_refused(fault: str, data: bytes) -> None:
    assert fault
    refuse(data)


def test_a_gap_between_members_is_refused() -> None:
    good = build()
    second = good.index(b"PK\x03\x04", 4)
    refuse(good[:second] + b"\x00" + good[second:])
    directory = good.index(b"PK\x01\x02")
    refuse(good[:directory] + b"\x00" + good[directory:])


@pytest.mark.parametrize(
    ("fault", "members"),
    [
        ("none", []),
        ("manifest only", MEMBERS[:1]),
        ("manifest missing", MEMBERS[1:]),
        ("keys missing", [MEMBERS[0], *MEMBERS[2:]]),
        ("keys first", [MEMBERS[1], MEMBERS[0], *MEMBERS[2:]]),
        ("keys last", [MEMBERS[0], *MEMBERS[2:], MEMBERS[1]]),
        ("second manifest", [*MEMBERS[:2], MEMBERS[0], *MEMBERS[2:]]),
        ("member repeated", [*MEMBERS, MEMBERS[-1]]),
        ("days swapped", [*MEMBERS[:2], MEMBERS[4], MEMBERS[2]]),
        ("parts swapped", [*MEMBERS[:2], MEMBERS[3], MEMBERS[2]]),
        ("tables swapped", [*MEMBERS[:2], MEMBERS[5], MEMBERS[2]]),
    ],
)
def test_other_members_or_orders_are_refused(fault: str, members: list[tuple[str, bytes]]) -> None:
    assert fault
    refuse(raw(members))
    with pytest.raises(UsageError):
        build(members)


def test_part_ten_comes_after_part_nine() -> None:
    parts = [(f"data/reads/2026-03-01-{n}.parquet", b"") for n in range(12)]
    assert len(container.read(io.BytesIO(build(MEMBERS[:2] + parts)))) == 14


@pytest.mark.parametrize(
    "name",
    [
        "data/reads/2026-02-30-0.parquet",
        "data/reads/2026-3-01-0.parquet",
        "data/reads/20260301-0.parquet",
        "data/reads/0000-01-01-0.parquet",
        "data/reads/2026-03-01.parquet",
        "data/reads/2026-03-01-00.parquet",
        "data/reads/2026-03-01--1.parquet",
        "data/reads/2026-03-01-10000.parquet",
        "data/reads/2026-03-01-0.PARQUET",
        "data/reads/2026-03-01-0.parquet/",
        "data/reads/2026-03-01-0.parquet\n",
        "data/reads/../2026-03-01-0.parquet",
        "data/../2026-03-01-0.parquet",
        "data//2026-03-01-0.parquet",
        "/data/reads/2026-03-01-0.parquet",
        "../data/reads/2026-03-01-0.parquet",
        "data\\reads\\2026-03-01-0.parquet",
        "Data/reads/2026-03-01-0.parquet",
        "data/READS/2026-03-01-0.parquet",
        "data/reads1/2026-03-01-0.parquet",
        "data/reads/Undated-0.parquet",
        "data/reads/",
        "README",
        "",
        "data/" + "x" * 33 + "/undated-0.parquet",
        "x" * 200,
        "C:autoexec.bat",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    refuse(raw([*MEMBERS[:2], (name, b"")]))
    with pytest.raises(UsageError):
        build([*MEMBERS[:2], (name, b"")])


def test_a_name_outside_ascii_is_refused() -> None:
    refuse(build().replace(b"data/reads/2026-03-02", b"data/read\xc3\x9f/2026-03-02"[:21]))


@pytest.mark.parametrize(
    ("field", "offset", "value"),
    [
        ("version", 4, 10),
        ("encryption flag", 6, 1),
        ("data descriptor flag", 6, 8),
        ("utf-8 flag", 6, 0x800),
        ("deflate", 8, 8),
        ("time", 10, 1),
        ("date", 12, 0x21 + 512),
        ("extra field", 28, 4),
    ],
)
def test_other_header_fields_are_refused(field: str, offset: int, value: int) -> None:
    assert field
    bad = bytearray(build())
    bad[offset : offset + 2] = value.to_bytes(2, "little")
    refuse(bytes(bad))


def test_what_other_programs_make_is_refused() -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for name, content in MEMBERS:
                archive.writestr(name, content)
        refuse(out.getvalue())


def test_a_large_manifest_is_refused_before_it_is_read() -> None:
    for position in (0, 1):
        members = list(MEMBERS[:2])
        members[position] = (members[position][0], bytes(container.MAX_SMALL + 1))
        assert "larger than allowed" in refuse(raw(members)).message
        with pytest.raises(UsageError):
            build(members)


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = build()
    monkeypatch.setattr(container, "MAX_MEMBERS", len(MEMBERS) - 1)
    assert "too many members" in refuse(data).message
    monkeypatch.setattr(container, "MAX_MEMBERS", len(MEMBERS))
    container.read(io.BytesIO(data))


def test_a_part_larger_than_two_gigabytes_is_refused() -> None:
    header = container._local_header(container.Member("manifest.json", 0, 0, 0))
    header += container._local_header(container.Member("keys.sealed", 0, 0, 0))
    header += container._local_header(container.Member("data/reads/undated-0.parquet", 0, 2**31 + 1, 0))
    assert "larger than allowed" in refuse(header).message


def test_a_refusal_repeats_nothing_from_the_file() -> None:
    assert "AB12CDE" not in str(refuse(raw([*MEMBERS[:2], ("data/AB12CDE", b"")])))


def test_a_file_that_has_shrunk_ends_early() -> None:
    file = io.BytesIO(build())
    member = container.read(file)[-1]
    file.truncate(member.offset + 3)
    assert container.read_member(file, member) == b"PAR"
    assert container.digest_member(file, member)[1] != member.crc


def test_writing_starts_at_the_start() -> None:
    out = io.BytesIO(b"x")
    out.seek(1)
    with pytest.raises(UsageError):
        container.write(out, MEMBERS)


def test_a_missing_file_is_a_storage_error_without_its_name(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        container.write(io.BytesIO(), [("manifest.json", tmp_path / "AB12CDE")])
    assert "AB12CDE" not in str(caught.value)


GIBIBYTE = 1024**3
FAR = [
    *[(f"data/reads/2026-03-01-{n}.parquet", 3 * GIBIBYTE // 2) for n in range(3)],
    ("data/reads/2026-03-02-0.parquet", 5),
    ("data/targets/undated-0.parquet", 7),
]


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A container whose last members and directory lie past 4 GiB, with holes where the large parts are."""
    copy = container._copy

    def sparse(content: Path | bytes, out: io.BufferedIOBase) -> tuple[int, int]:
        if isinstance(content, bytes) and content.startswith(b"hole "):
            size = int(content[5:])
            out.seek(size, io.SEEK_CUR)
            return size, 0
        return copy(content, out)  # type: ignore[arg-type]

    monkeypatch.setattr(container, "_copy", sparse)
    contents = [(name, b"hole %d" % size if size > 100 else b"x" * size) for name, size in FAR]
    path = tmp_path / "far.anpr.zip"
    with path.open("x+b") as out:
        container.write(out, MEMBERS[:2] + contents)
    if path.stat().st_blocks * 512 > GIBIBYTE:
        pytest.skip("this file system has no sparse files")
    return path


def test_offsets_past_four_gibibytes_are_read_back(far: Path) -> None:
    assert far.stat().st_size > 4 * GIBIBYTE
    with far.open("rb") as file:
        members = container.read(file)
        assert [(member.name, member.size) for member in members[2:]] == FAR
        assert [container.read_member(file, member) for member in members[-2:]] == [b"x" * 5, b"x" * 7]
        assert sound(file, members[-2:])


def test_zip64_fields_stand_exactly_where_offsets_need_them(far: Path) -> None:
    with zipfile.ZipFile(far) as archive:
        infos = archive.infolist()
        assert [info.header_offset >= 2**32 - 1 for info in infos] == [False] * 5 + [True] * 2
        assert [info.extract_version for info in infos] == [20] * 5 + [45] * 2
        assert [len(info.extra) for info in infos] == [0] * 5 + [12] * 2
        assert archive.read("data/targets/undated-0.parquet") == b"x" * 7


@pytest.mark.skipif(shutil.which("unzip") is None, reason="Info-ZIP is not installed")
def test_unzip_reads_past_four_gibibytes(far: Path) -> None:
    done = subprocess.run(["unzip", "-p", str(far), "data/targets/undated-0.parquet"], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"x" * 7, b"")


def test_every_changed_byte_of_the_zip64_records_is_found(far: Path) -> None:
    with far.open("r+b") as file:
        members = container.read(file)
        start = members[-1].offset + members[-1].size
        for position in range(start, far.stat().st_size):
            file.seek(position)
            byte = file.read(1)[0]
            file.seek(position)
            file.write(bytes([byte ^ 1]))
            file.flush()
            with pytest.raises(FormatError):
                container.read(file)
            file.seek(position)
            file.write(bytes([byte]))
        container.read(file)


def test_zip64_records_without_need_are_refused() -> None:
    good = build()
    start = good.index(b"PK\x01\x02")
    size = len(good) - 22 - start
    count = len(MEMBERS)
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start + size, 1)
    data = good[:-22] + end64 + locator + good[-22:]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
    refuse(data)
