"""Child: the same queries over a year of reads, at a university's site or over plain Parquet.

    python -m benchmarks.queries site SITE PASSPHRASE_FILE --day 2026-03-01 [--copy-to plain/]
    python -m benchmarks.queries plain plain/ --day 2026-03-01

Prints one JSON line: for each query its best time in seconds, processor time in that of its runs that took least, and a
number that both must agree on. Each query takes the table afresh, as a notebook does, and so counts the planning of the
scan; opening the site is not counted. ``first look`` is one query over all days before any other, which counts once.
With ``--copy-to`` it only writes the site's reads as plain Parquet for each day.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl

from anpr_share import Site
from anpr_share.parquet import GROUP_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable

ZONE = ZoneInfo("Europe/London")
COLUMNS = ("vehicle", "camera", "captured_at")


def queries(reads: pl.LazyFrame, day: date) -> dict[str, pl.LazyFrame]:
    """Return the queries by name; each gives one number."""
    start, end = (datetime.combine(day + timedelta(days=n), clock(), ZONE).astimezone(UTC) for n in (0, 7))
    week = pl.col("captured_at").is_between(start, end, closed="left")
    return {
        "all vehicles": reads.select(pl.col("vehicle").n_unique()),
        "busiest camera": reads.group_by("camera").len().select(pl.col("len").max()),
        "one column": reads.select(pl.col("captured_at").dt.hour().sum()),
        "all columns": reads.select(pl.struct(COLUMNS).hash().max()),
        "one week": reads.filter(week).select(pl.col("vehicle").n_unique()),
    }


def measure(table: Callable[[], pl.LazyFrame], day: date, repeat: int) -> dict[str, list[float]]:
    """Return for each query its best time, its least processor time and its answer."""
    found = {"first look": _timed(lambda: table().select(pl.col("camera").n_unique()))}
    for name in queries(table(), day):
        runs = [_timed(partial(_asked, table, day, name)) for _ in range(repeat)]
        found[name] = [min(run[0] for run in runs), min(run[1] for run in runs), runs[-1][2]]
    return found


def _asked(table: Callable[[], pl.LazyFrame], day: date, name: str) -> pl.LazyFrame:
    return queries(table(), day)[name]


def _timed(query: Callable[[], pl.LazyFrame]) -> list[float]:
    began, worked = time.perf_counter(), time.process_time()
    answer = query().collect(engine="streaming").item()
    return [time.perf_counter() - began, time.process_time() - worked, answer]


def copy(reads: pl.LazyFrame, folder: Path) -> None:
    """Write the reads as one plain Parquet file for each day, in the order, row groups and compression of the store."""
    folder.mkdir()
    for (day,), part in reads.collect().partition_by("day", as_dict=True).items():
        part.sort("vehicle", "captured_at").write_parquet(
            folder / f"{day}.parquet", compression="zstd", row_group_size=GROUP_ROWS
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="queries over a year of reads")
    parser.add_argument("kind", choices=["site", "plain"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("passphrase_file", type=Path, nargs="?")
    parser.add_argument("--day", type=date.fromisoformat, required=True, help="the first of the week asked for")
    parser.add_argument("--copy-to", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    wanted = parser.parse_args()
    if wanted.kind == "plain":
        print(json.dumps(measure(lambda: pl.scan_parquet(wanted.folder / "*.parquet"), wanted.day, wanted.repeat)))
        return
    site = Site.open(wanted.folder, passphrase_file=wanted.passphrase_file)
    if wanted.copy_to:
        copy(site.scan("reads", purpose="benchmark"), wanted.copy_to)
        return
    print(json.dumps(measure(lambda: site.scan("reads", purpose="benchmark"), wanted.day, wanted.repeat)))


if __name__ == "__main__":
    main()
