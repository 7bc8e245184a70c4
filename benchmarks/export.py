"""Measures an export of made-up reads against polars alone and against what it may cost.

    python -m benchmarks.export                      # 10 million reads at 3 %, 25 % and 100 % distinct plates
    python -m benchmarks.export --rows 100000        # a quick look
    python -m benchmarks.export --clkhash ../clk/bin/python

For each share of distinct plates, in one run and on one extract: polars writing the same columns in the same order as
plain Parquet for each day; the export, as an analyst runs it; a plain `csv` and `hmac` loop; clkhash, if an environment
with it is given. Every one is a child process of its own, so start-up is counted. The limit is that of the
architecture: 1.3 times polars, plus 1.5 µs for each distinct plate, in 1 GB and 250 bytes for each of them.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import sys
import tempfile
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.measure import Cost, best, python, run, save, show
from benchmarks.parties import Parties, set_up

TIMES_POLARS = 1.3
S_PER_PLATE = 1.5e-6
BASE_MB = 1_000.0
MB_PER_PLATE = 250e-6
CACHED_PLATES = 12_000_000  # the bound of the export's cache
BASELINE = Path(__file__).with_name("baseline_clkhash.py")


def main() -> None:
    parser = argparse.ArgumentParser(description="export against polars and other tools")
    parser.add_argument("--rows", type=int, default=10_000_000, help="reads in the extract")
    parser.add_argument("--days", type=int, default=10, help="capture days of the extract")
    parser.add_argument("--distinct", type=float, nargs="+", default=[0.03, 0.25, 1.0], help="distinct plates a read")
    parser.add_argument("--repeat", type=int, default=1, help="runs of polars and of the export; the best counts")
    parser.add_argument("--messy", action="store_true", help="plates in several spellings, some missing")
    parser.add_argument("--skip-loop", action="store_true", help="leave out the csv and hmac loop")
    parser.add_argument("--clkhash", help="the Python of an environment with clkhash")
    parser.add_argument("--clkhash-rows", type=int, default=1_000_000, help="rows for clkhash; scaled up in the table")
    parser.add_argument("--work", type=Path, help="where to write, on the disk to be measured (some GB)")
    parser.add_argument("--json", type=Path, help="write the results here too")
    wanted = parser.parse_args()

    machine = describe()
    results = []
    for distinct in wanted.distinct:
        with tempfile.TemporaryDirectory(prefix="anpr-share-benchmark-", dir=wanted.work) as folder:
            results.append(_measure(Path(folder), distinct, wanted))
    show("Machine", [machine])
    show(f"Export of {wanted.rows:,} reads over {wanted.days} days", [_row(result) for result in results])
    show("Other tools on the same rows", [row for result in results for row in _others(result)])
    if wanted.json:
        save(wanted.json, {"machine": machine, "results": results})
    if not all(result["within"] for result in results):
        sys.exit(1)


def _measure(folder: Path, distinct: float, wanted: argparse.Namespace) -> dict[str, Any]:
    today = datetime.now(UTC).date()
    last = today - timedelta(days=1)
    first = last - timedelta(days=wanted.days - 1)
    extract = folder / "reads.csv"
    options = ["--first", first.isoformat(), "--days", str(wanted.days), "--distinct", str(distinct)]
    options += ["--rows-per-day", str(wanted.rows // wanted.days), *(["--messy"] if wanted.messy else [])]
    generating, made = python("benchmarks.make_extract", extract, *options)
    counts = json.loads(made)
    parties = set_up(folder, today)

    plain: list[Cost] = []
    tokens: list[Cost] = []
    exports: list[Cost] = []
    bundle, parquet = folder / "bundle.anpr.zip", folder / "plain"
    for turn in range(wanted.repeat):
        for costs, flags in ((plain, ()), (tokens, ("--tokens",))):
            costs.append(python("benchmarks.baseline_polars", extract, parquet, *flags)[0])
            shutil.rmtree(parquet)
        request = folder / f"request-{turn}.json"
        parties.request(request, first, last)
        bundle.unlink(missing_ok=True)
        exports.append(_export(parties, request, extract, bundle))
    loading, _ = parties.command(parties.university, "load", bundle)

    limit_s = TIMES_POLARS * best(plain).wall_s + S_PER_PLATE * counts["plates"]
    limit_mb = BASE_MB + MB_PER_PLATE * min(counts["plates"], CACHED_PLATES)
    ours = best(exports)
    return {
        "distinct": distinct,
        **counts,
        "exported": _exported_rows(bundle),
        "extract_mb": round(extract.stat().st_size / 1e6),
        "bundle_mb": round(bundle.stat().st_size / 1e6),
        "generate": generating.as_dict(),
        "polars": best(plain).as_dict(),
        "polars_token_sized": best(tokens).as_dict(),
        "export": ours.as_dict(),
        "load": loading.as_dict(),
        "limit_s": round(limit_s, 2),
        "limit_mb": round(limit_mb),
        "within": ours.wall_s <= limit_s and ours.peak_mb <= limit_mb,
        **_other_tools(folder, extract, wanted),
    }


def _export(parties: Parties, request: Path, extract: Path, bundle: Path) -> Cost:
    options = ("--request", request, "--reads", extract, "--profile", parties.profile, "-o", bundle)
    return parties.command(parties.force, "export", *options)[0]


def _exported_rows(bundle: Path) -> int:
    """Add up the rows of the parts, from the manifest that anyone can read."""
    with zipfile.ZipFile(bundle) as members:
        envelope = json.loads(members.read("manifest.json"))
    manifest = json.loads(base64.b64decode(envelope["payload"]))
    return _sum_of(manifest, "rows")


def _sum_of(document: object, name: str) -> int:
    """Add up every number of this name in a document."""
    if isinstance(document, list):
        return sum(_sum_of(item, name) for item in document)
    if isinstance(document, dict):
        own = document.get(name)
        return (own if isinstance(own, int) else 0) + sum(_sum_of(item, name) for item in document.values())
    return 0


def _other_tools(folder: Path, extract: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    output = folder / "hashed.csv"
    if not wanted.skip_loop:
        found["csv_hmac"] = python("benchmarks.baseline_csv_hmac", extract, output)[0].as_dict()
    if wanted.clkhash:
        for name, flags in (("clkhash_exact", []), ("clkhash_bigrams", ["--ngram"])):
            rows = min(wanted.rows, wanted.clkhash_rows)
            cost, _ = run(wanted.clkhash, BASELINE, extract, output, "--rows", str(rows), *flags)
            found[name] = {**cost.as_dict(), "rows": rows}
    return found


def _row(result: dict[str, Any]) -> dict[str, Any]:
    ours, polars = result["export"], result["polars"]
    return {
        "distinct": f"{result['distinct']:.0%}",
        "rows out": f"{result['exported']:,}",
        "polars, s": polars["wall_s"],
        "polars with token-sized text, s": result["polars_token_sized"]["wall_s"],
        "export, s": ours["wall_s"],
        "limit, s": result["limit_s"],
        "export / polars": round(ours["wall_s"] / polars["wall_s"], 2),
        "export / token-sized": round(ours["wall_s"] / result["polars_token_sized"]["wall_s"], 2),
        "polars, MB": round(polars["peak_mb"]),
        "export, MB": round(ours["peak_mb"]),
        "limit, MB": result["limit_mb"],
        "load, s": result["load"]["wall_s"],
        "within": "yes" if result["within"] else "no",
    }


def _others(result: dict[str, Any]) -> list[dict[str, Any]]:
    tools = {"made-up extract, written": "generate", "polars, no hashing": "polars"}
    tools |= {"anpr-share export": "export", "csv + hmac loop": "csv_hmac"}
    tools |= {"clkhash, exact": "clkhash_exact", "clkhash, bigrams": "clkhash_bigrams"}
    rows = []
    for title, name in tools.items():
        if name in result:
            cost = result[name]
            counted = cost.get("rows", result["rows"])
            rows.append(
                {
                    "distinct": f"{result['distinct']:.0%}",
                    "tool": title,
                    "rows": f"{counted:,}",
                    "wall, s": cost["wall_s"],
                    "processor, s": cost["cpu_s"],
                    "peak, MB": round(cost["peak_mb"]),
                    "µs a row": round(cost["wall_s"] / counted * 1e6, 2),
                }
            )
    return rows


if __name__ == "__main__":
    main()
