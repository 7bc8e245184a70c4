"""The child that decodes Parquet may be made to answer anything: only what an honest one says is let through."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from anpr_share.errors import AnprShareError, FormatError, InputError
from anpr_share.tables.columnar import ParquetLimits, ParquetReader

NEEDED = ("vrm", "at")
GOOD = pl.DataFrame({"vrm": ["AB12CDE", None], "at": ["x", "y"]})
READ = "import sys; sys.stdin.readline(); sys.stdin.readline(); out = sys.stdout.buffer;"


def stream(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_ipc_stream(out)
    return out.getvalue()


END = b'{"end": true}\n'


def sent(frame: pl.DataFrame) -> bytes:
    """One batch and a proper end, so that a batch is refused for what it is or not at all."""
    payload = stream(frame)
    return json.dumps({"bytes": len(payload)}).encode() + b"\n" + payload + END


def answering(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: bytes) -> None:
    """Let the child say this, whatever it is asked, and end."""
    (tmp_path / "said").write_bytes(said)
    program = READ + f"out.write(open({str(tmp_path / 'said')!r}, 'rb').read())"
    start = subprocess.Popen

    def other(_: object, **options: Any) -> subprocess.Popen[bytes]:
        return start([sys.executable, "-c", program], **options)

    monkeypatch.setattr(subprocess, "Popen", other)


def read(path: Path) -> list[pl.DataFrame]:
    with ParquetReader(ParquetLimits(cell_bytes=100, batch_bytes=10_000)) as reader:
        return list(reader.read(path, NEEDED, 100, dated={"at"}))


def test_an_honest_answer_is_let_through(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answering(monkeypatch, tmp_path, sent(GOOD))
    (batch,) = read(tmp_path / "reads.parquet")
    assert batch.drop("__ragged__").equals(GOOD)


DISHONEST = {
    "nothing": b"",
    "no JSON": b"AB12CDE\n",
    "a list": b"[1]\n",
    "a text": b'"end"\n',
    "deep nesting": b"[" * 200_000 + b"\n",
    "a number of 5,000 digits": b'{"bytes": 1' + b"0" * 5000 + b"}\n",
    "an end that is not true": b'{"end": 1}\n',
    "an end and more": b'{"end": true, "bytes": 1}\n',
    "an unknown fault": b'{"fault": "AB12CDE"}\n',
    "a fault that is a list": b'{"fault": ["missing"]}\n',
    "a fault of a column not asked for": b'{"fault": "missing", "columns": ["AB12CDE"]}\n',
    "a fault of columns that are a number": b'{"fault": "missing", "columns": 7}\n',
    "a fault of a column that is a list": b'{"fault": "unfit", "columns": [["vrm"]]}\n',
    "bytes that are text": b'{"bytes": "3"}\nabc' + END,
    "bytes that are true": b'{"bytes": true}\nabc' + END,
    "fewer than no bytes": b'{"bytes": -1}\n',
    "more bytes than allowed": b'{"bytes": 20001}\n' + b"x" * 20_001 + END,
    "fewer bytes than said": sent(GOOD).removesuffix(END)[:-20],
    "no stream": b'{"bytes": 3}\nabc' + END,
    "a column more": sent(GOOD.with_columns(more=pl.lit("AB12CDE"))),
    "a column fewer": sent(GOOD.drop("at")),
    "columns in another order": sent(GOOD.select("at", "vrm")),
    "a column of numbers": sent(GOOD.with_columns(vrm=pl.lit(1))),
    "a column of lists": sent(GOOD.with_columns(at=pl.lit(["x"]))),
    "times where text was asked for": sent(GOOD.with_columns(vrm=pl.datetime(2026, 10, 1))),
    "more rows than asked for": sent(pl.concat([GOOD] * 51)),
    "a cell larger than allowed": sent(GOOD.with_columns(vrm=pl.lit("x" * 101))),
}


@pytest.mark.parametrize("fault", DISHONEST)
def test_any_other_answer_is_a_damaged_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str) -> None:
    answering(monkeypatch, tmp_path, DISHONEST[fault])
    with pytest.raises(FormatError, match=r"reads\.parquet is damaged, or needs more") as caught:
        read(tmp_path / "reads.parquet")
    assert "AB12CDE" not in str(caught.value)


def test_rows_that_were_not_asked_for_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answering(monkeypatch, tmp_path, sent(GOOD))
    with pytest.raises(FormatError), ParquetReader() as reader:
        reader.check(tmp_path / "reads.parquet", NEEDED)


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ({"fault": "missing", "columns": ["at"]}, InputError, "reads.parquet has no column at"),
        ({"fault": "unfit", "columns": ["vrm"]}, InputError, "something other than text.* in column vrm"),
        ({"fault": "inexact", "columns": ["vrm"]}, InputError, "numbers with a fraction in column vrm"),
        ({"fault": "oversize"}, InputError, "cells of more than 64 KiB"),
        ({"fault": "damaged"}, FormatError, "damaged or an encrypted"),
    ],
)
def test_faults_are_told_in_our_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: dict[str, object], kind: type[AnprShareError], message: str
) -> None:
    answering(monkeypatch, tmp_path, json.dumps(said).encode() + b"\n")
    with pytest.raises(kind, match=message):
        read(tmp_path / "reads.parquet")
