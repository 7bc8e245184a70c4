"""Reading extracts: however the cells are written they are the same, and a hostile file gives a clear error."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from anpr_share.errors import AnprShareError, FormatError, InputError, StorageError, UsageError
from anpr_share.tables import blocks, delimited
from anpr_share.tables.columnar import ParquetLimits, ParquetReader
from anpr_share.tables.extract import RAGGED, Batch, open_extract
from anpr_share.tables.profile import Profile, load_profile, parse_profile

FIELDS = ("vrm", "camera", "captured_at")
COLUMNS = ["vrm", "camera", "captured_at"]
HEADER = "vrm,camera,captured_at,note\n"
ROWS = [("AB12CDE", "007", "2026-10-08T16:30:51Z"), ("GH56 IJK", " cam, 2 ", "2026-10-08T16:30:52Z")]
BODY = 'AB12CDE,007,2026-10-08T16:30:51Z,x\nGH56 IJK," cam, 2 ",2026-10-08T16:30:52Z,y\n'


def profile(form: str = "", table: str = "") -> Profile:
    return parse_profile(f"""
table = "reads"
{table}
[file]
{form}
[columns]
vrm = "vrm"
camera = ["camera"]
[columns.captured_at]
columns = ["captured_at"]
format = "%Y-%m-%dT%H:%M:%SZ"
timezone = "UTC"
""")


def write(tmp_path: Path, content: str | bytes, name: str = "reads.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def batches(path: Path | str, form: str = "", fields: tuple[str, ...] = FIELDS) -> list[Batch]:
    return list(open_extract([path], profile(form), fields).batches())


def cells(path: Path | str, form: str = "") -> list[tuple[str | None, ...]]:
    return [row for batch in batches(path, form) for row in batch.frame.select(COLUMNS).rows()]


def ragged(path: Path, form: str = "") -> list[int]:
    """The numbers of the rows that have the wrong number of cells; that they are null is checked on the way."""
    numbers: list[int] = []
    for batch in batches(path, form):
        marked = batch.frame.with_columns(batch.rows).filter(RAGGED)
        assert marked.select(COLUMNS).null_count().sum_horizontal().sum() == 3 * marked.height
        numbers.extend(marked["row"])
    return numbers


def refusal(act: Callable[[], object]) -> AnprShareError:
    with pytest.raises(AnprShareError) as caught:
        act()
    return caught.value


@pytest.mark.parametrize(
    ("written", "form"),
    [
        (HEADER + BODY, ""),
        (HEADER + BODY.rstrip("\n"), ""),
        (HEADER + BODY + "\n\n\n", ""),
        ("\n" + HEADER + "\n" + BODY.replace("\n", "\n\n"), ""),
        ((HEADER + BODY).replace("\n", "\r\n"), ""),
        ((HEADER + BODY).replace("\n", "\r"), ""),
        ((HEADER + BODY).replace("\n", "\r\r\n"), ""),
        ("\ufeff" + HEADER + BODY, ""),
        (" vrm , camera,captured_at ,note\n" + BODY, ""),
        ("exported by\nsomeone\n" + HEADER + BODY, "skip_rows = 2"),
        ("sep=,\n" + HEADER + BODY, "skip_rows = 1"),
        (BODY, 'header = ["vrm", "camera", "captured_at", "note"]'),
        (HEADER.replace(",", "\t") + BODY.replace(",", "\t").replace("cam\t 2", "cam, 2"), 'delimiter = "\\t"'),
        (HEADER.replace(",", "|") + BODY.replace(",", "|").replace("cam|", "cam,").replace('"', ""), 'delimiter = "|"'),
        (HEADER.replace(",", ";") + BODY.replace(",", ";").replace("cam;", "cam,").replace('"', ""), 'delimiter = ";"'),
        ((HEADER + BODY).encode("utf-16"), 'encoding = "utf-16"'),
        ((HEADER + BODY).replace("\n", "\r\n").encode("utf-16-be").join([b"\xfe\xff", b""]), 'encoding = "utf-16"'),
        ((HEADER + BODY).encode("cp1252"), 'encoding = "cp1252"'),
        (gzip.compress((HEADER + BODY).encode(), mtime=0), ""),
        (gzip.compress(HEADER.encode(), mtime=0) + gzip.compress(BODY.encode(), mtime=0), ""),
    ],
)
def test_the_same_cells_are_read_however_they_are_written(tmp_path: Path, written: str | bytes, form: str) -> None:
    path = write(tmp_path, written)

    assert cells(path, form) == ROWS
    assert ragged(path, form) == []


@pytest.mark.parametrize("size", [16, 17, 61, 100])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_where_blocks_end_changes_nothing(
    tmp_path: Path, size: int, newline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = BODY + 'AB12CDE,"two\nlines",2026-10-08T16:30:53Z,\n' + "short,row\n" + BODY
    path = write(tmp_path, (HEADER + body).replace("\n", newline))
    expected = [*ROWS, ("AB12CDE", "two\nlines", "2026-10-08T16:30:53Z"), (None, None, None), *ROWS]

    monkeypatch.setattr(blocks, "BLOCK_BYTES", size)

    assert cells(path) == expected
    assert ragged(path) == [4]


def test_text_in_the_declared_encoding_arrives_as_it_is(tmp_path: Path) -> None:
    rows = "AB12CDE,Größe – £,2026-10-08T16:30:51Z,\n"
    for encoding in ("utf-8", "utf-16", "cp1252"):
        path = write(tmp_path, (HEADER + rows).encode(encoding))

        assert cells(path, f'encoding = "{encoding}"')[0][1] == "Größe – £"


def test_cells_are_never_read_as_numbers_and_null_values_are_null(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "NA,007,1E10,x\n NA ,1.0,,\nNAN,true,NA,\n")

    assert cells(path, 'null_values = ["NA"]') == [(None, "007", "1E10"), (None, "1.0", ""), ("NAN", "true", None)]


def test_only_the_needed_columns_are_read(tmp_path: Path) -> None:
    (batch,) = batches(write(tmp_path, HEADER + BODY), fields=("vrm",))

    assert batch.frame.columns == ["vrm", RAGGED]
    assert batch.fields == ("vrm",)


def test_rows_with_the_wrong_number_of_cells_are_marked_and_never_shifted(tmp_path: Path) -> None:
    body = "a,b,c,d\na,b,c\na,b,c,d,e\n,,,\na\na,b,c,d,\na,b,c,d\n"

    assert ragged(write(tmp_path, HEADER + body)) == [2, 3, 5, 6]
    assert ragged(write(tmp_path, HEADER + body + '"x","y\nz",,\n')) == [2, 3, 5, 6]


def test_cells_at_the_end_may_be_left_out_where_the_profile_says_so(tmp_path: Path) -> None:
    form = 'header = ["vrm", "camera"]\noptional_header = ["captured_at", "note"]'
    path = write(tmp_path, "a\na,b\na,b,c\na,b,c,d\na,b,c,d,e\n")

    assert ragged(path, form) == [1, 5]
    assert cells(path, form)[1:4] == [("a", "b", ""), ("a", "b", "c"), ("a", "b", "c")]


def test_a_header_in_the_middle_of_joined_files_is_no_row_of_data(tmp_path: Path) -> None:
    assert ragged(write(tmp_path, HEADER + BODY + HEADER + BODY)) == [3]


def test_rows_are_numbered_in_each_file_and_files_come_sorted(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv"):
        write(tmp_path, HEADER + BODY * 3, name)
    extract = open_extract([str(tmp_path / "*.csv")], profile(), FIELDS)

    assert extract.names == ("a.csv", "b.csv")
    assert [(batch.file, list(batch.rows)) for batch in extract.batches()] == [(0, [*range(1, 7)]), (1, [*range(1, 7)])]


def test_batches_are_about_as_long_as_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1000)
    path = write(tmp_path, HEADER + BODY * 500)
    found = list(open_extract([path], profile(), FIELDS).batches(rows=100))

    assert [batch.first_row for batch in found][:3] == [
        1,
        1 + found[0].frame.height,
        1 + sum(b.frame.height for b in found[:2]),
    ]
    assert all(100 <= batch.frame.height < 200 for batch in found[:-1])
    assert sum(batch.frame.height for batch in found) == 1000


@pytest.mark.parametrize(
    ("written", "form", "message", "hint"),
    [
        ("vrm,camera\na,b\n", "", "no column captured_at", "header line"),
        ((HEADER + BODY).replace(",", ";"), "", "no column vrm, camera, captured_at", "delimiter"),
        ("sep=,\n" + HEADER + BODY, "", "no column vrm, camera, captured_at", "set skip_rows = 1 under [file]"),
        ("sep=;\n" + HEADER + BODY, "", "no column vrm, camera, captured_at", "set skip_rows = 1 under [file]"),
        ("x\nSep=,\n" + HEADER + BODY, "skip_rows = 1", "no column vrm, camera, captured_at", "skip_rows = 2"),
        ("vrm,vrm,camera,captured_at\na,b,c,d\n", "", "more than one column vrm", "rename"),
        ("", "", "no header line", "empty"),
        ("\n\n", "", "no header line", "empty"),
        (HEADER, "", "no rows", "whole file"),
        (HEADER + BODY, "skip_rows = 900", "no header line", "skip_rows"),
        (HEADER + BODY + "x\0y,,,\n", "", "NUL bytes near row 3", "UTF-16"),
        ((HEADER + BODY).encode("utf-16-le"), "", "NUL bytes", "UTF-16"),
        ((HEADER + BODY).encode("utf-16"), "", "is UTF-16 text", "utf-16"),
        (HEADER.encode() + b"a,Gr\xf6\xdfe,c,d\n", "", "not utf-8 text", "cp1252"),
        (HEADER.encode() + b"a,\x81,c,d\n", 'encoding = "cp1252"', "not cp1252 text", "encoding"),
        (("\ufeff" + HEADER + BODY).encode(), 'encoding = "cp1252"', "is UTF-8 text", "utf-8"),
        ((HEADER + BODY).encode("utf-16")[:-1], 'encoding = "utf-16"', "not utf-16 text", "encoding"),
        (HEADER + BODY + 'a,"b,c,d\nx,y,z,\n', "", "left open in reads.csv after row 2", "quote"),
        (b"PK\x03\x04" + b"x" * 50, "", "a workbook or an archive", "CSV"),
        (gzip.compress((HEADER + BODY * 9999).encode(), mtime=0)[:-20], "", "cut off", "copy"),
        (gzip.compress((HEADER + BODY).encode(), mtime=0)[:11] + b"\xff" * 50, "", "damaged", "copy"),
        (HEADER + "x" * (17 << 20), "", "more than 16 MiB", "delimiter"),
        ("," * 20_000 + "\n", "", "more than 10,000 cells", None),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason_and_no_cell(
    tmp_path: Path, written: str | bytes, form: str, message: str, hint: str | None
) -> None:
    path = write(tmp_path, written)

    error = refusal(lambda: cells(path, form))

    assert isinstance(error, InputError)
    assert message in error.message
    assert hint is None or hint in str(error.hint)
    assert "AB12CDE" not in error.message
    assert "GH56" not in error.message
    assert error.__cause__ is None


def test_quotation_marks_are_characters_where_the_profile_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + 'AB12CDE,5" pipe,t,"\n"AB12CDE","x",t,\n')

    assert cells(path, 'quote = ""') == [("AB12CDE", '5" pipe', "t"), ('"AB12CDE"', '"x"', "t")]


def test_a_headers_faults_are_found_before_the_first_row(tmp_path: Path) -> None:
    good, bad = write(tmp_path, HEADER + BODY, "a.csv"), write(tmp_path, "vrm\nx\n", "b.csv")

    assert "b.csv has no column" in refusal(lambda: open_extract([good, bad], profile(), FIELDS)).message


def test_files_that_are_not_there_twice_there_or_no_files_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + BODY)

    assert isinstance(refusal(lambda: batches(tmp_path / "none.csv")), StorageError)
    assert isinstance(refusal(lambda: batches(tmp_path)), StorageError)
    assert isinstance(refusal(lambda: batches(str(tmp_path / "*.psv"))), StorageError)
    assert isinstance(refusal(lambda: open_extract([], profile(), FIELDS)), UsageError)
    twice = [str(path), str(tmp_path / "*.csv")]
    assert isinstance(refusal(lambda: open_extract(twice, profile(), FIELDS)), UsageError)
    assert isinstance(refusal(lambda: batches(path, fields=("confidence",))), UsageError)


@pytest.mark.skipif(os.name == "nt", reason="names there are Unicode")
def test_a_file_whose_name_no_record_can_hold_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.csv")
    path.write_text(HEADER + BODY, encoding="utf-8")

    assert isinstance(refusal(lambda: open_extract([path], profile(), FIELDS)), UsageError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert isinstance(refusal(lambda: batches(tmp_path / "pipe")), StorageError)


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + BODY, "reads[1].csv")

    assert cells(str(path)) == ROWS


def test_a_bomb_is_refused_at_the_first_block(tmp_path: Path) -> None:
    bomb = write(tmp_path, gzip.compress(HEADER.encode() + b"x" * (1 << 28), 9, mtime=0), "bomb.csv.gz")

    assert "more than 16 MiB" in refusal(lambda: cells(bomb)).message


@pytest.mark.parametrize(
    ("more", "reader"),
    [("", "_read_regular"), ('a,"b\nc",d,e\n', "_read_irregular"), ("a,\x1e,d,e\n", "_read_irregular")],
)
def test_each_reader_gets_its_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, reader: str) -> None:
    # The cases above mean little if one reader took them all.
    def taken(*arguments: object) -> None:
        raise InputError(reader)

    monkeypatch.setattr(delimited, reader, taken)

    assert refusal(lambda: cells(write(tmp_path, HEADER + BODY + more))).message == reader


def parquet(tmp_path: Path, frame: pl.DataFrame) -> Path:
    path = tmp_path / "reads.parquet"
    frame.write_parquet(path)
    return path


def test_a_parquet_extract_gives_text_and_keeps_times(tmp_path: Path) -> None:
    time = datetime(2026, 10, 8, 16, 30, 51)  # noqa: DTZ001
    frame = pl.DataFrame({"captured_at": [time], "extra": [["x"]], "camera": [7], "vrm": ["AB12CDE"]})
    (batch,) = batches(parquet(tmp_path, frame))

    assert batch.frame.rows() == [("AB12CDE", "7", time, False)]
    assert batch.frame.columns == [*COLUMNS, RAGGED]
    dates = frame.with_columns(vrm=pl.col("captured_at"))
    assert batches(parquet(tmp_path, dates))[0].frame["vrm"].dtype == pl.String


def test_parquet_rows_are_numbered_across_batches(tmp_path: Path) -> None:
    frame = pl.DataFrame({name: [str(n) for n in range(1000)] for name in COLUMNS})
    found = list(open_extract([parquet(tmp_path, frame)], profile(), FIELDS).batches(rows=300))

    assert [number for batch in found for number in batch.rows] == [*range(1, 1001)]
    assert pl.concat(batch.frame for batch in found).select(COLUMNS).equals(frame)


def test_parquet_that_is_damaged_encrypted_or_unfit_is_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({name: ["AB12CDE"] * 5000 for name in COLUMNS})
    whole = parquet(tmp_path, frame).read_bytes()
    for damaged in (whole[:-50], b"PAR1" + b"junk" * 50 + b"PAR1", whole[:40] + b"\xff" * 60 + whole[100:]):
        path = write(tmp_path, damaged, "damaged.parquet")
        with pytest.raises(FormatError, match="damaged"):
            batches(path)
    assert "no column vrm" in refusal(lambda: batches(parquet(tmp_path, frame.drop("vrm")))).message
    nested = frame.with_columns(vrm=pl.concat_list("vrm"))
    assert "something other than text" in refusal(lambda: batches(parquet(tmp_path, nested))).message


@pytest.mark.parametrize("column", ["vrm", "camera"])
@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64, pl.Decimal(10, 1)])
def test_numbers_with_fractions_are_no_names(tmp_path: Path, column: str, dtype: pl.DataType) -> None:
    frame = pl.DataFrame({name: [7] for name in COLUMNS}).cast({column: dtype})
    error = refusal(lambda: batches(parquet(tmp_path, frame)))
    assert isinstance(error, InputError)
    assert f"numbers with a fraction in column {column}" in error.message
    assert "whole numbers" in (error.hint or "")


def test_whole_decimals_are_names_and_fractions_are_read_where_they_are_none(tmp_path: Path) -> None:
    frame = pl.DataFrame({name: [7] for name in COLUMNS}).cast({"camera": pl.Decimal(10, 0), "captured_at": pl.Float64})
    (batch,) = batches(parquet(tmp_path, frame))
    assert batch.frame.rows() == [("7", "7", "7.0", False)]


def test_a_parquet_bomb_is_refused_for_its_cells(tmp_path: Path) -> None:
    frame = pl.DataFrame({name: ["x"] * 64 for name in COLUMNS}).with_columns(vrm=pl.lit("A" * (1 << 22)))
    path = parquet(tmp_path, frame)
    assert path.stat().st_size < 1 << 20

    assert "more than 64 KiB" in refusal(lambda: batches(path)).message


@pytest.mark.parametrize(
    "limits",
    [
        # Where memory ends, the decoder may also hang: then it is the time that ends it.
        pytest.param(
            ParquetLimits(memory=1 << 20, seconds=5.0),
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory"),
        ),
        ParquetLimits(seconds=0.001),
    ],
)
def test_decoding_parquet_has_a_bound_of_memory_and_of_time(tmp_path: Path, limits: ParquetLimits) -> None:
    path = parquet(tmp_path, pl.DataFrame({name: ["x"] * 100 for name in COLUMNS}))

    with ParquetReader(limits) as reader, pytest.raises(FormatError, match="more memory or time"):
        list(reader.read(path, COLUMNS, 10, dated=()))


def test_parquet_and_text_may_be_mixed_and_no_process_is_left(tmp_path: Path) -> None:
    frame = pl.DataFrame({name: ["x", "y"] for name in COLUMNS})
    for name in ("a", "c"):
        frame.write_parquet(tmp_path / f"{name}.parquet")
    write(tmp_path, HEADER + BODY, "b.csv")
    extract = open_extract([tmp_path / "a.parquet", tmp_path / "b.csv", tmp_path / "c.parquet"], profile(), FIELDS)

    reading = extract.batches()
    next(reading)
    reading.close()  # type: ignore[attr-defined]

    assert [(batch.file, batch.frame.height) for batch in extract.batches()] == [(0, 2), (1, 2), (2, 2)]


def test_the_compact_capture_record_is_read_by_its_bundled_profile(tmp_path: Path) -> None:
    record = "sig|user|AB12CDE|12|3|45|2026-10-08T16:30:51.250"
    path = write(tmp_path, f"{record}\n{record}|53.8|-1.5|||||93\nsig|user|AB12CDE\n", "captures.psv")
    compact = load_profile("nas-compact")

    (batch,) = open_extract([path], compact, compact.fields).batches()

    assert batch.frame.select("feed", "source", "camera", "confidence").rows() == [
        ("12", "3", "45", ""),
        ("12", "3", "45", "93"),
        (None, None, None, None),
    ]
    assert list(batch.frame[RAGGED]) == [False, False, True]
