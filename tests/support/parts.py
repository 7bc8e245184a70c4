"""Parts as an honest sender makes them, and their check, in a child or here."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from anpr_share import parquet, part_check
from anpr_share.errors import VerificationError
from anpr_share.part_check import PartJob, PartLimits, PartResult, check_parts
from anpr_share.periods import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = b"k" * 32
LOCAL = b"l" * 32
LONDON = ZoneInfo("Europe/London")
DAY = date(2026, 6, 10)
WINDOW = Window(date(2026, 6, 8), date(2026, 6, 14))
COLUMNS = ("vehicle", "camera", "captured_at")
SCHEMA = pl.Schema({"vehicle": pl.String(), "camera": pl.String(), "captured_at": pl.Datetime("us", "UTC")})
# In June, London's day runs from 23:00 to 23:00 UTC.
FIRST, LAST = datetime(2026, 6, 9, 23, tzinfo=UTC), datetime(2026, 6, 10, 22, 59, 59, 999_999, tzinfo=UTC)
VEHICLE, CAMERA = "0123456789abcdef0123456789abcdef", "f" * 32
FRAME = pl.DataFrame([(VEHICLE, CAMERA, FIRST), (VEHICLE, CAMERA, LAST)], schema=SCHEMA, orient="row")


def read_part(path: Path, key: bytes, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of the part at ``path``: all columns, or those named, in that order."""
    frame = parquet.scan_part(path, key)
    with parquet.opening():
        return (frame if columns is None else frame.select(columns)).collect(engine="streaming")


def job(path: Path, frame: pl.DataFrame = FRAME, **changes: Any) -> PartJob:
    parquet.write_part(frame, path, KEY)
    return replace(PartJob(path, KEY, "reads", DAY, frame.height, COLUMNS, LONDON, WINDOW), **changes)


def check(*jobs: PartJob, **limits: Any) -> list[PartResult]:
    return list(check_parts(jobs, limits=PartLimits(**limits)))


def check_here(part: PartJob) -> PartResult:
    line = json.dumps(part_check._message(part)).encode()
    return part_check._result(part, part_check._answer(line, PartLimits(), part_check.Seen()))


def refuse(reason: str, *jobs: PartJob, **limits: Any) -> VerificationError:
    """Expect a refusal: by a child if limits are given, else, since children take their time, without one."""
    with pytest.raises(VerificationError, match=reason) as caught:
        check(*jobs, **limits) if limits else [check_here(each) for each in jobs]
    assert caught.value.step == 8
    for secret in (VEHICLE, CAMERA, str(jobs[-1].path)):
        assert secret not in str(caught.value)
    return caught.value
