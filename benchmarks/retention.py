"""Measures purge, status, audit and ledger export at a university that holds a year, of few rows and of many.

    python -m benchmarks.retention                              # 100 million rows, in 364 and in 3,640 parts
    python -m benchmarks.retention --rows 2000000 --repeat 2    # a quick look

Four sites are made (see :mod:`benchmarks.make_store`): a year of one force and of ten, each with ten rows a day and
with as many as make up ``--rows``. With twelve months' retention and windows that must have ended, 364 days is the most
that a store can hold outside a leap year; the oldest of them expired at midnight, so a purge destroys one day of each
force. Of each command the best of several runs counts, start-up included, as a child; each purge runs on a copy of the
site, in which the files to be deleted are copies and all others hard links. Then one process does the same without
start-up, and what every command does first: looking for what has expired, when nothing has.

What is asked: the time of a purge must not grow with rows. Exits 1 if, in one process, it takes more than 1.5 times as
long with the many rows as with the few, by the clock and in processor time: waiting for a disk that others use is
neither's.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor as Executor
from concurrent.futures import wait
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.measure import Cost, best, python, run, save, show

MOST = 1.5
FEW = 10
DAYS = 364
FORCES = (1, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description="purge, status and audit of a year of data")
    parser.add_argument("--rows", type=int, default=100_000_000, help="of the two larger sites, each")
    parser.add_argument("--lines", type=int, default=10_000, help="of each ledger, about")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each command; the best counts")
    parser.add_argument("--work", type=Path, help="where to write, on the disk to be measured (some GB)")
    parser.add_argument("--json", type=Path, help="write the results here too")
    wanted = parser.parse_args()
    sites, commands, steps = [], [], []
    for forces in FORCES:
        few, many = _measured(wanted, forces)
        sites += [few["site"], many["site"]]
        commands += _compared(few["site"]["parts"], few["commands"], many["commands"])
        steps += _steps(few["site"]["parts"], few["steps"], many["steps"])
    machine = describe()
    show("Machine", [machine])
    show("Sites", sites)
    show("Commands", commands)
    show("In one process, without start-up", steps)
    if wanted.json:
        save(wanted.json, {"machine": machine, "sites": sites, "commands": commands, "steps": steps})
    ratios = ("ratio", "ratio of processor")
    grown = [item for item in steps if item["what"] == "purge" and min(item[name] for name in ratios) > MOST]
    if grown:
        sys.exit(f"a purge takes more than {MOST} times as long with many rows as with few")


def _measured(wanted: argparse.Namespace, forces: int) -> list[dict[str, Any]]:
    """Two sites of so many forces, of few rows and of many: made side by side, measured in turn, removed."""
    with tempfile.TemporaryDirectory(prefix="anpr-share-benchmark-", dir=wanted.work) as name, Executor(2) as pool:
        folders = [Path(name) / "few", Path(name) / "many"]
        rows = [FEW, wanted.rows // DAYS // forces]
        making = [
            pool.submit(_make, folder, forces, number, wanted.lines)
            for folder, number in zip(folders, rows, strict=True)
        ]
        wait(making)
        return [_timed(folder, *made.result(), wanted.repeat) for folder, made in zip(folders, making, strict=True)]


def _make(folder: Path, forces: int, rows: int, lines: int) -> tuple[Cost, dict[str, int]]:
    folder.mkdir()
    passphrase = folder / "passphrase"
    passphrase.write_text(secrets.token_hex(16) + "\n", encoding="utf-8")
    passphrase.chmod(0o600)
    options = (
        *("--forces", str(forces), "--rows-per-day", str(rows), "--lines", str(lines)),
        *("--today", datetime.now(UTC).date().isoformat()),
    )
    cost, made = python("benchmarks.make_store", folder, passphrase, *options)
    return cost, json.loads(made)


def _timed(folder: Path, making: Cost, site: dict[str, int], repeat: int) -> dict[str, Any]:
    passphrase = folder / "passphrase"
    commands = _commands(folder, passphrase, repeat, site["bytes"])
    _, timed = python(
        *("benchmarks.retention_steps", folder / "purged", passphrase, "--repeat", str(repeat)),
        *(copy(folder, f"step-{n}") for n in range(repeat)),
    )
    shown = {"parts": site["parts"], "rows": f"{site['rows']:,}", "GB": round(site["bytes"] / 1e9, 3)}
    shown |= {"ledger lines": site["lines"], "made in, s": round(making.wall_s)}
    return {"site": shown, "commands": commands, "steps": json.loads(timed)}


def _commands(folder: Path, passphrase: Path, repeat: int, size: int) -> dict[str, tuple[Cost, int]]:
    """The cost of each command, and how many bytes of parts it reads."""

    def cost(site: Path, *words: str | Path, answers: tuple[int, ...] = (0,)) -> Cost:
        return run(sys.executable, "-m", "anpr_share", "--site", site, *words, answers=answers)[0]

    def each(*words: str | Path) -> Cost:
        return best([cost(folder / "purged", *words) for _ in range(repeat)])

    purging = best([cost(copy(folder, f"purge-{n}"), "purge") for n in range(repeat)])
    (folder / "purge-0").rename(folder / "purged")
    outs = [folder / f"{n}.ledger.jsonl" for n in range(repeat)]
    # The first that has the passphrase signs what the purge logged.
    each("--passphrase-file", passphrase, "ledger", "show")
    return {
        "start-up alone (`--version`)": (each("--version"), 0),
        "`purge` of one day": (purging, 0),
        "`purge` of nothing": (each("purge"), 0),
        "`status`": (each("status"), 0),
        "`audit`": (each("audit"), size),
        "`audit` with the passphrase": (each("--passphrase-file", passphrase, "audit"), size),
        "`ledger export`": (best([cost(folder / "purged", "ledger", "export", "-o", out) for out in outs]), 0),
    }


def copy(folder: Path, name: str) -> Path:
    """A copy of the site as it was made: what a purge will delete is a copy, the rest of the store hard links."""
    site, target = folder / "university", folder / name
    oldest = min(path.name for path in site.glob("store/*/reads/*"))

    def place(source: str, to: str) -> str:
        if source.endswith(".parquet") and Path(source).parent.name != oldest:
            os.link(source, to)
        else:
            shutil.copy2(source, to)
        return to

    shutil.copytree(site, target, copy_function=place)
    return target


def _compared(parts: int, few: dict[str, tuple[Cost, int]], many: dict[str, tuple[Cost, int]]) -> list[dict[str, Any]]:
    rows = []
    for name, (less, _) in few.items():
        more, size = many[name]
        row: dict[str, Any] = {"parts": f"{parts:,}", "command": name}
        row |= {"few rows, s": round(less.wall_s, 2), "many rows, s": round(more.wall_s, 2)}
        row |= {"ratio": round(more.wall_s / less.wall_s, 2)}
        row |= {"few, processor s": round(less.cpu_s, 2), "many, processor s": round(more.cpu_s, 2)}
        row |= {"peak MB": round(more.peak_mb), "MB/s": round(size / 1e6 / more.wall_s) if size else ""}
        rows.append(row)
    return rows


def _steps(parts: int, few: dict[str, list[float]], many: dict[str, list[float]]) -> list[dict[str, Any]]:
    return [
        {
            "parts": f"{parts:,}",
            "what": name,
            "few rows, ms": round(1000 * few[name][0], 1),
            "many rows, ms": round(1000 * many[name][0], 1),
            "ratio": round(many[name][0] / few[name][0], 2),
            "few, processor ms": round(1000 * few[name][1], 1),
            "many, processor ms": round(1000 * many[name][1], 1),
            "ratio of processor": round(many[name][1] / few[name][1], 2),
        }
        for name in few
    ]


if __name__ == "__main__":
    main()
