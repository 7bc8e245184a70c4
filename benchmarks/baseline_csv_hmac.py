"""Child: the plain loop that a careful analyst would write: `csv`, `hmac`, one row at a time, CSV out.

    python -m benchmarks.baseline_csv_hmac reads.csv hashed.csv

It hashes plate and camera with separate keys; it does not normalise, check, sort, split by day or encrypt.
"""

from __future__ import annotations

import argparse
import csv
import hmac
import secrets
from pathlib import Path


def write(extract: Path, output: Path) -> int:
    """Write vehicle, camera, captured_at and return the rows."""
    vehicle_key, camera_key = secrets.token_bytes(32), secrets.token_bytes(32)
    rows = 0
    with extract.open(newline="", encoding="utf-8") as source, output.open("w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target)
        writer.writerow(("vehicle", "camera", "captured_at"))
        for row in csv.DictReader(source):
            vehicle = hmac.new(vehicle_key, row["vrm"].encode(), "sha256").hexdigest()[:32]
            camera = hmac.new(camera_key, row["camera"].encode(), "sha256").hexdigest()[:32]
            writer.writerow((vehicle, camera, row["captured_at"]))
            rows += 1
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="a csv and hmac loop")
    parser.add_argument("extract", type=Path)
    parser.add_argument("output", type=Path)
    wanted = parser.parse_args()
    print(write(wanted.extract, wanted.output))


if __name__ == "__main__":
    main()
