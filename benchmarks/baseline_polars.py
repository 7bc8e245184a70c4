"""Child: polars alone writes the columns that an export writes, in the same order, as plain Parquet for each day.

    python -m benchmarks.baseline_polars reads.csv plain/

No plate is normalised or hashed and nothing is encrypted, signed or checked: this is the floor. With ``--tokens`` each
plate is replaced by 32 hexadecimal digits of a fast unkeyed hash, so that the files hold as many bytes as ours.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

ZONE = "Europe/London"


HEX4 = pl.Series([f"{number:04x}" for number in range(1 << 16)])


def stand_in(column: str) -> pl.Expr:
    """Return 32 hexadecimal digits for each text: as long and as random as a token, and no pseudonym."""
    hashes = (pl.col(column).hash(seed) for seed in (1, 2))
    quarters = [bits // (1 << shift) % (1 << 16) for bits in hashes for shift in (48, 32, 16, 0)]
    return pl.concat_str(*(pl.lit(HEX4).gather(quarter) for quarter in quarters))


def write(extract: Path, folder: Path, *, tokens: bool) -> int:
    """Write ``folder/<day>.parquet`` sorted by vehicle, then time, and return the rows."""
    folder.mkdir()
    local = pl.col("captured_at").str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us")
    reads = (
        pl.scan_csv(extract, infer_schema=False)
        .select(
            vehicle="vrm",
            camera="camera",
            captured_at=local.dt.replace_time_zone(ZONE, ambiguous="earliest").dt.convert_time_zone("UTC"),
            day=local.dt.date(),
        )
        .collect(engine="streaming")
    )
    rows = reads.height
    for (day,), part in reads.partition_by("day", as_dict=True, include_key=False).items():
        if tokens:
            part = part.with_columns(vehicle=stand_in("vehicle"), camera=stand_in("camera"))  # noqa: PLW2901
        part.sort("vehicle", "captured_at").write_parquet(folder / f"{day}.parquet")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="plain Parquet for each day, by polars")
    parser.add_argument("extract", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", action="store_true")
    wanted = parser.parse_args()
    print(write(wanted.extract, wanted.folder, tokens=wanted.tokens))


if __name__ == "__main__":
    main()
