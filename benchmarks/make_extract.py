"""Child: writes a made-up extract of reads to measure with.

    python -m benchmarks.make_extract reads.csv --first 2026-09-01 --days 10 --rows-per-day 1000000 --distinct 0.03

Prints one JSON line: rows, and the distinct plates among them.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path

from anpr_share.synthetic import Scenario, write_reads_csv


def main() -> None:
    parser = argparse.ArgumentParser(description="write a made-up extract")
    parser.add_argument("output", type=Path)
    parser.add_argument("--first", type=date.fromisoformat, required=True)
    parser.add_argument("--days", type=int, required=True)
    parser.add_argument("--rows-per-day", type=int, required=True)
    parser.add_argument("--distinct", type=float, required=True)
    parser.add_argument("--messy", action="store_true")
    wanted = parser.parse_args()
    scenario = Scenario(
        seed=2019,
        first=wanted.first,
        days=wanted.days,
        reads_per_day=wanted.rows_per_day,
        distinct=wanted.distinct,
        cameras=300,
        messy=wanted.messy,
    )
    rows = write_reads_csv(wanted.output, scenario)
    print(json.dumps({"rows": rows, "plates": scenario.plates}))


if __name__ == "__main__":
    main()
