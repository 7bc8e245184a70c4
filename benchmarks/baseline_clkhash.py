"""Child: clkhash, the known tool for pseudonymous record linkage, on the plates of the same rows.

    python baseline_clkhash.py reads.csv hashed.csv --rows 200000

Run by file name with the Python of an environment that holds clkhash, which pins an old cryptography and so cannot be
installed beside ours. The plate is one feature with exact comparison (``--ngram``: bigrams, what clkhash is made for);
camera and time are copied. It makes linkage keys of 1024 bits: a larger thing than a token, which tolerates misreadings
and resists a frequency attack worse. Prints one JSON line: rows, and the seconds that hashing took.
"""

from __future__ import annotations

import argparse
import base64
import csv
import itertools
import json
import secrets
import time
from pathlib import Path
from typing import Any


def linkage_schema(*, ngram: bool) -> dict[str, Any]:
    """Return a clkhash linkage schema, version 3, of one feature."""
    comparison = {"type": "ngram", "n": 2, "positional": False} if ngram else {"type": "exact"}
    return {
        "version": 3,
        "clkConfig": {
            "l": 1024,
            "kdf": {
                "type": "HKDF",
                "hash": "SHA256",
                "salt": base64.b64encode(bytes(64)).decode(),
                "info": base64.b64encode(b"benchmark").decode(),
                "keySize": 64,
            },
        },
        "features": [
            {
                "identifier": "vrm",
                "format": {"type": "string", "encoding": "utf-8", "case": "mixed", "minLength": 0},
                "hashing": {
                    "comparison": comparison,
                    "strategy": {"bitsPerToken": 15},
                    "hash": {"type": "blakeHash"},
                },
            }
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="clkhash on the same rows")
    parser.add_argument("extract", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--ngram", action="store_true")
    wanted = parser.parse_args()

    from clkhash import clk, schema, serialization  # type: ignore[import-not-found]

    with wanted.extract.open(newline="", encoding="utf-8") as source:
        rows = list(itertools.islice(csv.reader(source), 1, wanted.rows + 1))
    began = time.perf_counter()
    made = clk.generate_clks(
        [(row[0],) for row in rows],
        schema.from_json_dict(linkage_schema(ngram=wanted.ngram)),
        secrets.token_hex(32),
        validate=False,
    )
    took = time.perf_counter() - began
    with wanted.output.open("w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target)
        writer.writerow(("vehicle", "camera", "captured_at"))
        for row, key in zip(rows, made, strict=True):
            writer.writerow((serialization.serialize_bitarray(key), *row[1:]))
    print(json.dumps({"rows": len(rows), "hashing_s": round(took, 2)}))


if __name__ == "__main__":
    main()
