"""Properties of reading and checking that no single case shows."""

from __future__ import annotations

import csv
import io
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.errors import AnprShareError, FormatError, InputError
from anpr_share.tables import blocks
from anpr_share.tables.check import check_extract
from anpr_share.tables.extract import RAGGED, open_extract
from anpr_share.tables.profile import load_profile, parse_profile, profile_text

PROFILE = parse_profile("""
table = "reads"
[columns]
vrm = "a"
camera = ["b", "c"]
[columns.captured_at]
columns = ["d"]
format = "%Y-%m-%dT%H:%M:%SZ"
timezone = "UTC"
""")
FIELDS = ("vrm", "camera", "captured_at")
NOW = datetime(2026, 10, 9, tzinfo=UTC)
CELL = st.text(alphabet='ab1 ,"\n\x1eé\u2028\x0b', max_size=6)


def read(text: str, block_bytes: int) -> list[tuple[str | None, ...]]:
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(blocks, "BLOCK_BYTES", block_bytes):
        path = Path(folder, "reads.csv")
        path.write_bytes(text.encode())
        frames = [batch.frame for batch in open_extract([path], PROFILE, FIELDS).batches()]
    rows = pl.concat(frames)
    return [None if ragged else tuple(cells) for *cells, ragged in rows.select("a", "b", "c", "d", RAGGED).rows()]  # type: ignore[misc]


@given(st.lists(st.lists(CELL, min_size=2, max_size=5), min_size=1, max_size=12), st.integers(8, 200), st.booleans())
def test_reading_agrees_with_the_csv_module_wherever_blocks_end(
    rows: list[list[str]], block_bytes: int, quote_all: bool
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL)
    writer.writerow("abcd")
    writer.writerows(rows)

    expected = [tuple(row) if len(row) == 4 else None for row in rows]

    assert read(out.getvalue(), block_bytes) == expected


@given(st.lists(st.text(alphabet='ab1,,"\n', max_size=30), min_size=1, max_size=6), st.integers(8, 60))
def test_irregular_quoting_means_what_the_csv_module_says_or_is_refused(pieces: list[str], block_bytes: int) -> None:
    text = "a,b,c,d\nw,x,y,z\n" + "\n".join(pieces) + "\n"
    mark = "end-of-file"
    rows = [row for row in csv.reader(io.StringIO(text + mark, newline="\n")) if row][1:]
    if rows[-1] != [mark]:
        with pytest.raises(InputError, match="quotation mark is left open"):
            read(text, block_bytes)
        return

    assert read(text, block_bytes) == [tuple(row) if len(row) == 4 else None for row in rows[:-1]]


@given(st.binary(max_size=200), st.sampled_from(["", "\ufeffa,b,c,d\n", "a,b,c,d\n1,2,3,4\n"]))
def test_any_bytes_are_read_or_refused_as_ours(tail: bytes, head: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "reads.csv")
        path.write_bytes(head.encode() + tail)
        try:
            report = check_extract([path], PROFILE, now=NOW)
        except AnprShareError:
            return
    assert report.accepted + sum(report.rejected.values()) == report.rows + report.split


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["AB12CDE", "A1;B2", "??", "", "é", "AB12CDE/AB12CDF, x"]),
            st.sampled_from(["L1", "", " "]),
            st.sampled_from(["slavery", "", "s.1", "labour exploitation"]),
            st.sampled_from(["2026-01-01", "", "01/01/2026"]),
            st.sampled_from(["victim", "", "other"]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_accepted_and_rejected_rows_add_up(rows: list[tuple[str, ...]]) -> None:
    columns = ["vrm", "log", "offence", "offence_from", "person_category"]
    blank = ["offence_to", "convicted_on", "handling", "grading_scheme", "source_grade", "information_grade"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "targets.csv")
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns + blank)
            writer.writerows([*row, *[""] * len(blank)] for row in rows)
        report = check_extract([path], load_profile("plain-targets"), now=NOW)

    assert report.rows == len(rows)
    assert report.accepted + sum(report.rejected.values()) == report.rows + report.split
    assert all(report.failures[rule].count >= count for rule, count in report.rejected.items())
    assert sum(report.families.values()) == report.accepted


@given(st.text(max_size=200))
def test_any_text_is_a_profile_or_refused_as_ours(text: str) -> None:
    for profile in (text, f'table = "reads"\n{text}', f'table = "targets"\n[columns]\nvrm = "{text}"'):
        try:
            parse_profile(profile)
        except FormatError:
            continue


@pytest.mark.parametrize("name", ["nas-compact", "plain-cameras", "plain-reads", "plain-targets"])
@given(data=st.data())
def test_a_bundled_profile_with_any_damage_is_a_profile_or_refused_as_ours(name: str, data: st.DataObject) -> None:
    genuine = profile_text(name)
    start = data.draw(st.integers(0, len(genuine)))
    stop = data.draw(st.integers(start, min(len(genuine), start + 40)))
    piece = data.draw(st.text(max_size=20) | st.sampled_from(["[columns]\n", '"""', "1e999", "2026-10-01", "{a = 1}"]))
    try:
        parse_profile(genuine[:start] + piece + genuine[stop:])
    except FormatError:
        return
