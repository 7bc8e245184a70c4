"""Frames on standard output: whoever reads it may leave, and the disk under it may be full."""

from __future__ import annotations

import errno
import io
import os
import sys
from types import SimpleNamespace

import polars as pl
import pytest

from anpr_share.reports.frames import write_frame

FRAME = pl.DataFrame({"vehicle": ["ab" * 16] * 10_000, "n": range(10_000)})
READ_BACK = {"csv": pl.read_csv, "parquet": pl.read_parquet, "arrow": pl.read_ipc_stream}


class Refusing(io.BytesIO):
    """Standard output that takes nothing."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, _data: object, /) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("output", READ_BACK)
@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC])
def test_why_the_system_refused_is_not_lost(monkeypatch: pytest.MonkeyPatch, output: str, number: int) -> None:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=Refusing(number)))
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        write_frame(FRAME, output)
    assert caught.value.errno == number
    assert isinstance(caught.value, BrokenPipeError) == (number == errno.EPIPE)


@pytest.mark.parametrize("output", READ_BACK)
def test_every_format_can_be_read_back(output: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    write_frame(FRAME, output)
    written = io.BytesIO(capsysbinary.readouterr().out)
    assert READ_BACK[output](written).equals(FRAME)  # type: ignore[operator] # functions of other options
