"""Measures a look at disclosure risk against reading and checking the same extract.

    python -m benchmarks.risk                  # 10 million made-up reads, a quarter of them of distinct plates
    python -m benchmarks.risk --rows 100000    # a quick look

Both commands run as an analyst runs them, each in a child of its own, one after the other on the same extract: `check`
reads every row and judges it; `risk` does that too, and then measures unicity at four resolutions, joining by time,
volumes, and some sixteen ways to release. Ten million reads are to take well under a minute, of which `check` takes a
tenth: so it exits 1 if `risk` takes more than six times as long as `check` in the same run, on whatever machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.measure import Cost, best, python, run, save, show
from benchmarks.parties import set_up

TIMES_CHECK = 6.0


def main() -> None:
    parser = argparse.ArgumentParser(description="risk against check")
    parser.add_argument("--rows", type=int, default=10_000_000, help="reads in the extract")
    parser.add_argument("--days", type=int, default=10, help="capture days of the extract")
    parser.add_argument("--distinct", type=float, default=0.25, help="distinct plates a read")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; the best counts")
    parser.add_argument("--work", type=Path, help="where to write, on the disk to be measured (some GB)")
    parser.add_argument("--json", type=Path, help="write the results here too")
    wanted = parser.parse_args()

    machine = describe()
    with tempfile.TemporaryDirectory(prefix="anpr-share-benchmark-", dir=wanted.work) as folder:
        result = _measure(Path(folder), wanted)
    show("Machine", [machine])
    show(f"Disclosure risk of {wanted.rows:,} reads over {wanted.days} days", _rows(result))
    if wanted.json:
        save(wanted.json, {"machine": machine, "result": result})
    if result["ratio"] > TIMES_CHECK:
        sys.exit(1)


def _measure(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    today = datetime.now(UTC).date()
    first = today - timedelta(days=wanted.days)
    extract = folder / "reads.csv"
    options = ["--first", first.isoformat(), "--days", str(wanted.days), "--distinct", str(wanted.distinct)]
    _, made = python("benchmarks.make_extract", extract, *options, "--rows-per-day", str(wanted.rows // wanted.days))
    parties = set_up(folder, today)
    draft = folder / "draft.toml"
    draft.write_text(draft.read_text("utf-8").replace('resolution = "1s"', 'resolution = "1m"'), encoding="utf-8")

    checks: list[Cost] = []
    risks: list[Cost] = []
    given = ("--profile", parties.profile)
    for _ in range(wanted.repeat):
        checks.append(run(sys.executable, "-m", "anpr_share", "check", extract, *given)[0])
        words = ("risk", "--reads", extract, *given, "--agreement", draft)
        risks.append(run(sys.executable, "-m", "anpr_share", *words)[0])
    check, risk = best(checks), best(risks)
    return {
        **json.loads(made),
        "check": check.as_dict(),
        "risk": risk.as_dict(),
        "ratio": round(risk.wall_s / check.wall_s, 2),
    }


def _rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "command": name,
            "reads": f"{result['rows']:,}",
            "plates": f"{result['plates']:,}",
            "wall, s": result[name]["wall_s"],
            "processor, s": result[name]["cpu_s"],
            "peak, MB": round(result[name]["peak_mb"]),
            "risk / check": result["ratio"] if name == "risk" else "",
        }
        for name in ("check", "risk")
    ]


if __name__ == "__main__":
    main()
