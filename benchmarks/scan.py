"""Measures `scan` over a year of encrypted days against the same queries over plain Parquet.

    python -m benchmarks.scan                        # 364 days of 27,500 reads, ten million in all
    python -m benchmarks.scan --rows-per-day 2000    # a quick look

The year is made, exported and loaded by the command line; the plain files are a copy of what the store holds: a file
for each day with the same rows, order, row groups and compression, and the columns `source` and `day`. A year has 364
days here: the last has ended, and the day before the first is past the limit of twelve months (in a year without 29
February). The aim is 1.15 times plain Parquet.

Of each query the best of several runs counts, in one process: files are in the system's cache, and parts were compared
with their digests by an earlier run. The first look of a process, which compares them, is shown by itself, beside the
first over the plain files.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.measure import python, save, show
from benchmarks.parties import set_up

AIM = 1.15


def main() -> None:
    parser = argparse.ArgumentParser(description="scan against plain Parquet")
    parser.add_argument("--days", type=int, default=364)
    parser.add_argument("--rows-per-day", type=int, default=27_500)
    parser.add_argument("--distinct", type=float, default=0.03)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each query; the best counts")
    parser.add_argument("--work", type=Path, help="where to write, on the disk to be measured (some GB)")
    parser.add_argument("--json", type=Path, help="write the results here too")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="anpr-share-benchmark-", dir=wanted.work) as folder:
        result = _measure(Path(folder), wanted)
    machine = describe()
    show("Machine", [machine])
    show(f"Scan of {wanted.days} days of {wanted.rows_per_day:,} reads (aim: {AIM})", result["queries"])
    if wanted.json:
        save(wanted.json, {"machine": machine, "result": result})


def _measure(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    today = datetime.now(UTC).date()
    last = today - timedelta(days=1)
    first = last - timedelta(days=wanted.days - 1)
    extract, request, bundle = folder / "reads.csv", folder / "request.json", folder / "year.anpr.zip"
    options = (
        "--days",
        str(wanted.days),
        "--rows-per-day",
        str(wanted.rows_per_day),
        "--distinct",
        str(wanted.distinct),
    )
    python("benchmarks.make_extract", extract, "--first", first.isoformat(), *options)
    parties = set_up(folder, today)
    parties.request(request, first, last)
    export = ("export", "--request", request, "--reads", extract, "--profile", parties.profile)
    exporting, _ = parties.command(parties.force, *export, "--authority", "benchmark", "-o", bundle)
    loading, _ = parties.command(parties.university, "load", bundle)

    plain_folder = folder / "plain"
    week = ("--day", (first + timedelta(days=wanted.days // 2)).isoformat())
    at_site = ("benchmarks.queries", "site", parties.university, parties.passphrase_file, *week)
    python(*at_site, "--copy-to", plain_folder)
    repeat = ("--repeat", str(wanted.repeat))
    plain_cost, plain = python("benchmarks.queries", "plain", plain_folder, *week, *repeat)
    site_cost, site = python(*at_site, *repeat)
    return {
        "export": exporting.as_dict(),
        "load": loading.as_dict(),
        "plain": plain_cost.as_dict(),
        "site": site_cost.as_dict(),
        "queries": _compared(json.loads(plain), json.loads(site)),
    }


def _compared(plain: dict[str, list[float]], site: dict[str, list[float]]) -> list[dict[str, Any]]:
    rows = []
    totals = [0.0] * 4
    for name, (plain_s, plain_cpu, answer) in plain.items():
        site_s, site_cpu, same = site[name]
        if same != answer:
            raise SystemExit(f"{name}: the two answers differ")
        times = [plain_s, site_s, plain_cpu, site_cpu]
        if name != "first look":
            totals = [total + each for total, each in zip(totals, times, strict=True)]
        rows.append(_row(name, *times))
    return [*rows, _row("all but the first", *totals)]


def _row(name: str, plain_s: float, site_s: float, plain_cpu: float, site_cpu: float) -> dict[str, Any]:
    return {
        "query": name,
        "plain, s": round(plain_s, 3),
        "scan, s": round(site_s, 3),
        "ratio": round(site_s / plain_s, 2),
        "plain, processor s": round(plain_cpu, 3),
        "scan, processor s": round(site_cpu, 3),
        "ratio of processor": round(site_cpu / plain_cpu, 2),
    }


if __name__ == "__main__":
    main()
